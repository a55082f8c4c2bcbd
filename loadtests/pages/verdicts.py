"""What a run was measured by: its limits, and its ratios with their intervals."""

from loadtests.pages.markup import datum, element, text
from loadtests.pages.table import row, table
from loadtests.pages.words import arm_name, times, whole
from loadtests.results import Report, Threshold


def thresholds_table(report: Report) -> str:
    """Return the limits that were asked for, and whether they held."""
    rows = [_threshold_row(place, threshold) for place, threshold in enumerate(report.thresholds)]
    head = ["limit", "asked for", "measured", "result"]
    return table("Limits", head, [element("tbody", "".join(rows))])


def comparisons_table(report: Report) -> str:
    """Return the ratios of medians with their intervals."""
    rows = []
    for place, each in enumerate(report.comparisons):
        path = f"comparisons.{place}"
        cells = [
            datum(f"{path}.{name}", value, times(value))
            for name, value in (("speedup", each.speedup), ("low", each.low), ("high", each.high))
        ]
        percent = f"{100 * each.confidence:g} %"
        cells.append(datum(f"{path}.confidence", each.confidence, percent))
        cells.append(datum(f"{path}.resamples", each.resamples, whole(each.resamples)))
        name = text(f"{each.method}: {arm_name(each.arm)} over {arm_name(each.base)}")
        rows.append(row(name, cells))
    head = ["ratio of medians", "times faster", "from", "to", "confidence", "resamples"]
    return table("Medians beside each other", head, [element("tbody", "".join(rows))])


def _threshold_row(place: int, threshold: Threshold) -> str:
    path = f"thresholds.{place}"
    cells = [
        datum(f"{path}.limit", threshold.limit, f"{threshold.limit:g}"),
        datum(f"{path}.measured", threshold.measured, f"{threshold.measured:.4g}"),
        _verdict(path, threshold),
    ]
    return row(text(threshold.name), cells)


def _verdict(path: str, threshold: Threshold) -> str:
    """Tell whether a limit held by word and mark as well as by colour."""
    held = threshold.passed
    word = datum(f"{path}.passed", held, "held" if held else "not held")
    return element("span", f"{'✓' if held else '✗'} {word}", class_="good" if held else "bad")
