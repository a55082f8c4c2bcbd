"""What clients saw and where answers came from, by method and arm."""

from collections.abc import Iterable
from typing import Final

from loadtests.pages.markup import datum, element, text
from loadtests.pages.plot import arm_class
from loadtests.pages.table import arm_label, body, row, table
from loadtests.pages.words import milliseconds, rate, share, source_name, whole
from loadtests.results import Percentiles, Report, Sample

_LATENCIES: Final = {"p50": "p50", "p90": "p90", "p99": "p99", "p99_9": "p99.9", "max": "max"}
_SOURCES: Final = ("near", "redis", "mongo", "bypass")


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
        body(samples[0][1], len(head), [_calls_row(place, sample) for place, sample in samples])
        for samples in by_method(report.samples).values()
    ]
    return table("What clients saw, by method and arm", head, bodies)


def sources_table(report: Report) -> str:
    """Return where the answers came from, or nothing if none said."""
    bodies = []
    for samples in by_method(report.samples).values():
        rows = [_sources_row(place, sample) for place, sample in samples if sample.sources]
        if rows:
            bodies.append(body(samples[0][1], 3, rows))
    head = ["asked for", "answers by source", "shares"]
    return table("Where answers came from, by x-cache", head, bodies, left=2) if bodies else ""


def _calls_row(place: int, sample: Sample) -> str:
    path = f"samples.{place}"
    cells = [
        datum(f"{path}.count", sample.count, whole(sample.count)),
        datum(f"{path}.rate_per_s", sample.rate_per_s, rate(sample.rate_per_s)),
        _errors(sample, path),
        *(_latency(sample.latency_ms, name, path) for name in (*_LATENCIES, "mean")),
        "" if sample.server_ms is None else _server(sample.server_ms, path),
    ]
    return row(arm_label(sample.arm), cells)


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
        colour = arm_class("mongo" if source == "bypass" else source)
        strips.append(element("i", class_=colour, style=width))
        number = datum(f"samples.{place}.sources.{source}", count, whole(count))
        words.append(f"{text(source_name(source))} {share(count, total)} ({number})")
    strip = element("span", "".join(strips), class_="strip", aria_hidden="true")
    said = "".join(element("span", each) for each in words)
    return row(arm_label(sample.arm), [element("span", said, class_="sources"), strip], words=2)


def _rank(source: str) -> int:
    return _SOURCES.index(source) if source in _SOURCES else len(_SOURCES)
