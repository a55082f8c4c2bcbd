"""The tables of the page. Each value says in ``data-path`` which one of ``report.json`` it is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Final

from loadtests.pages.markup import datum, element, text
from loadtests.pages.plot import arm_class
from loadtests.pages.words import arm_name, milliseconds, rate, share, source_name, times, whole
from loadtests.results import Percentiles, Process, Report, Sample, Threshold

_LATENCIES: Final = {"p50": "p50", "p90": "p90", "p99": "p99", "p99_9": "p99.9", "max": "max"}
_SOURCES: Final = ("near", "redis", "mongo")


def by_method(samples: Iterable[Sample]) -> dict[str, list[tuple[int, Sample]]]:
    """Return the samples of each method, each with its place in the report."""
    grouped: dict[str, list[tuple[int, Sample]]] = {}
    for place, sample in enumerate(samples):
        grouped.setdefault(sample.method, []).append((place, sample))
    return grouped


def calls_table(report: Report) -> str:
    """Return what clients saw: a row for each arm of each method."""
    head = ["asked for", "calls", "per second", "errors"]
    head += [f"{name}, ms" for name in _LATENCIES.values()]
    head += ["mean, ms", "server, ms"]
    bodies = [
        _body(samples[0][1], len(head), [_calls_row(place, sample) for place, sample in samples])
        for samples in by_method(report.samples).values()
    ]
    return table("What clients saw, by method and arm", head, bodies)


def sources_table(report: Report) -> str:
    """Return where the answers came from, or nothing if none said."""
    bodies = []
    for samples in by_method(report.samples).values():
        rows = [_sources_row(place, sample) for place, sample in samples if sample.sources]
        if rows:
            bodies.append(_body(samples[0][1], 3, rows))
    head = ["asked for", "answers by source", "shares"]
    return table("Where answers came from, by x-cache", head, bodies, left=2) if bodies else ""


def server_table(report: Report) -> str:
    """Return each method's mean as the server measured it beside the client's."""
    rows = [
        _server_row(method, samples[0][0], [sample for _, sample in samples])
        for method, samples in by_method(report.samples).items()
    ]
    head = ["method", "client's mean, ms", "server's mean, ms", "outside the server"]
    return table("Time in the server beside the client's", head, [element("tbody", "".join(rows))])


def cpu_table(report: Report) -> str:
    """Return what a request cost each process, with bars."""
    dearest = max((each.cpu_us_per_request for each in report.processes), default=0.0)
    rows = [_cpu_row(place, process, dearest) for place, process in enumerate(report.processes)]
    head = ["process", "CPU per request", "us", "CPU, s", "requests"]
    return table("CPU time of each process", head, [element("tbody", "".join(rows))], left=1)


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
        rows.append(_row(name, cells))
    head = ["ratio of medians", "times faster", "from", "to", "confidence", "resamples"]
    return table("Medians beside each other", head, [element("tbody", "".join(rows))])


def list_of(entries: Mapping[str, str]) -> str:
    """Return names and what they stand for; both are markup."""
    return element(
        "dl",
        "".join(
            element("div", element("dt", name) + element("dd", value))
            for name, value in entries.items()
        ),
    )


def table(caption: str, head: Sequence[str], bodies: Sequence[str], left: int = 0) -> str:
    """Return a table in a box of its own to scroll in; ``left`` columns after the first are text.

    The box can be reached with the keyboard, as it has to be scrolled by somebody.
    """
    cells = [
        element("th", text(name), scope="col", class_="words" if place <= left else None)
        for place, name in enumerate(head)
    ]
    inner = element("caption", text(caption)) + element("thead", element("tr", "".join(cells)))
    return element(
        "div",
        element("table", inner + "".join(bodies)),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def _body(sample: Sample, columns: int, rows: Sequence[str]) -> str:
    lookup = f" {element('code', text(sample.lookup))}" if sample.lookup else ""
    name = element("span", text(sample.method) + lookup)
    title = element("th", name, scope="rowgroup", colspan=columns, class_="method")
    return element("tbody", element("tr", title) + "".join(rows))


def _row(name: str, cells: Iterable[str], words: int = 0) -> str:
    told = [
        element("td", cell, class_="words" if place < words else None)
        for place, cell in enumerate(cells)
    ]
    return element("tr", element("th", name, scope="row") + "".join(told))


def _arm(arm: str) -> str:
    dot = element("i", class_=f"swatch {arm_class(arm)}")
    return element("span", dot + text(arm_name(arm)), class_="arm")


def _calls_row(place: int, sample: Sample) -> str:
    path = f"samples.{place}"
    cells = [
        datum(f"{path}.count", sample.count, whole(sample.count)),
        datum(f"{path}.rate_per_s", sample.rate_per_s, rate(sample.rate_per_s)),
        _errors(sample, path),
        *(_latency(sample.latency_ms, name, path) for name in (*_LATENCIES, "mean")),
        "" if sample.server_ms is None else _server(sample.server_ms, path),
    ]
    return _row(_arm(sample.arm), cells)


def _latency(latencies: Percentiles, name: str, path: str) -> str:
    value = getattr(latencies, name)
    return datum(f"{path}.latency_ms.{name}", value, milliseconds(value))


def _server(value: float, path: str) -> str:
    return datum(f"{path}.server_ms", value, milliseconds(value))


def _errors(sample: Sample, path: str) -> str:
    if not sample.errors:
        return "0"
    parts = [
        f"{datum(f'{path}.errors.{code}', count, whole(count))} {text(code)}"
        for code, count in sample.errors.items()
    ]
    return element("span", "<br>".join(parts), class_="bad")


def _sources_row(place: int, sample: Sample) -> str:
    total = sum(sample.sources.values())
    order = sorted(sample.sources.items(), key=lambda each: _rank(each[0]))
    strips, words = [], []
    for source, count in order:
        width = f"width:{100 * count / total if total else 0:.2f}%"
        strips.append(element("i", class_=arm_class(source), style=width))
        number = datum(f"samples.{place}.sources.{source}", count, whole(count))
        words.append(f"{text(source_name(source))} {share(count, total)} ({number})")
    strip = element("span", "".join(strips), class_="strip", aria_hidden="true")
    said = "".join(element("span", each) for each in words)
    return _row(_arm(sample.arm), [element("span", said, class_="sources"), strip], words=2)


def _rank(source: str) -> int:
    return _SOURCES.index(source) if source in _SOURCES else len(_SOURCES)


def _server_row(method: str, place: int, samples: Sequence[Sample]) -> str:
    count = sum(sample.count for sample in samples)
    mean = sum(sample.latency_ms.mean * sample.count for sample in samples) / max(count, 1)
    served = samples[0].server_ms
    cells = [milliseconds(mean), "", ""]
    if served is not None:
        cells[1] = _server(served, f"samples.{place}")
        cells[2] = share(max(0.0, mean - served), mean)
    return _row(text(method), cells)


def _cpu_row(place: int, process: Process, dearest: float) -> str:
    width = 100 * process.cpu_us_per_request / dearest if dearest else 0
    bar = element("span", element("i", style=f"width:{width:.1f}%"), class_="bar")
    path = f"processes.{place}"
    cells = [
        bar,
        datum(
            f"{path}.cpu_us_per_request",
            process.cpu_us_per_request,
            rate(process.cpu_us_per_request),
        ),
        datum(f"{path}.cpu_s", process.cpu_s, f"{process.cpu_s:.2f}"),
        datum(f"{path}.requests", process.requests, whole(process.requests)),
    ]
    return _row(text(process.name), cells, words=1)


def _threshold_row(place: int, threshold: Threshold) -> str:
    path = f"thresholds.{place}"
    cells = [
        datum(f"{path}.limit", threshold.limit, f"{threshold.limit:g}"),
        datum(f"{path}.measured", threshold.measured, f"{threshold.measured:.4g}"),
        verdict(path, threshold),
    ]
    return _row(text(threshold.name), cells)


def verdict(path: str, threshold: Threshold) -> str:
    """Return whether a limit held, told by word and mark as well as by colour."""
    held = threshold.passed
    word = datum(f"{path}.passed", held, "held" if held else "not held")
    return element("span", f"{'✓' if held else '✗'} {word}", class_="good" if held else "bad")


def run_lists(report: Report) -> Iterator[tuple[str, str]]:
    """Give what is needed to repeat the run, list by list with its name."""
    run, plain = report.run, {}
    for each in fields(run):
        value = getattr(run, each.name)
        if isinstance(value, dict):
            continue
        if each.name != "command" and value is not None:
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            plain[_NAMES[each.name]] = datum(f"run.{each.name}", value, shown)
    yield "The run", list_of(plain)
    for name, entries in (
        ("Settings", run.settings),
        ("Machine", run.machine),
        ("Versions", run.versions),
    ):
        path = f"run.{name.lower()}"
        told = {text(key): datum(f"{path}.{key}", value, value) for key, value in entries.items()}
        yield name, list_of(told)


_NAMES: Final = {
    "started": "started",
    "scenario": "scenario",
    "model": "model",
    "shape": "shape",
    "users": "users",
    "rate_per_s": "calls meant per second",
    "duration_s": "measured, s",
    "warmup_s": "warming before, s",
    "zipf_exponent": "Zipf exponent of the keys",
    "seed": "seed",
}
