"""Two compared runs as text, Markdown and JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from loadtests.changes import Change

_TITLES: Final = {
    "latency": "Latency, ms",
    "errors": "Share of failed calls",
    "cpu": "CPU per request, us",
    "speedup": "Times faster",
}
_WORDS: Final = {
    ("latency", "worse"): "SLOWER",
    ("latency", "better"): "faster",
    ("errors", "worse"): "MORE",
    ("errors", "better"): "fewer",
    ("cpu", "worse"): "DEARER",
    ("cpu", "better"): "cheaper",
}
_COLUMNS: Final = ("", "before", "after", "change", "interval", "")


@dataclass(frozen=True, slots=True)
class Compared:
    """What two runs differ in, what one alone has, and all that both have.

    ``cautions`` are signs that it was the machine that changed.
    """

    differences: Mapping[str, tuple[str, str]]
    only_before: Sequence[str]
    only_after: Sequence[str]
    floor: float
    cautions: Sequence[str]
    changes: Sequence[Change]

    @property
    def worse(self) -> list[Change]:
        """What got worse, beyond the noise."""
        return [change for change in self.changes if change.verdict == "worse"]

    @property
    def better(self) -> list[Change]:
        """What got better, beyond the noise."""
        return [change for change in self.changes if change.verdict == "better"]


def as_json(compared: Compared, names: tuple[str, str]) -> str:
    """Return everything for a program."""
    plain = {
        "before": names[0],
        "after": names[1],
        "differences": compared.differences,
        "only_before": compared.only_before,
        "only_after": compared.only_after,
        "noise_floor": compared.floor,
        "cautions": compared.cautions,
        "changes": compared.changes,
        "worse": [change.name for change in compared.worse],
        "better": [change.name for change in compared.better],
    }
    return orjson.dumps(plain, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def as_text(compared: Compared, names: tuple[str, str]) -> str:
    """Return everything for a terminal."""
    lines = [f"before  {names[0]}", f"after   {names[1]}", "", *_difference_lines(compared)]
    width = max((len(change.name) for change in compared.changes), default=0)
    for title, changes in _groups(compared):
        lines += ["", title, _line(_COLUMNS, width)]
        lines += [_line(_cells(change), width) for change in changes]
    return "\n".join([*lines, "", summary(compared), "", _method(compared)]) + "\n"


def as_markdown(compared: Compared, names: tuple[str, str]) -> str:
    """Return everything for a comment on a change."""
    lines = [f"**{summary(compared)}**", "", f"`{names[0]}` beside `{names[1]}`.", ""]
    lines += [f"- {line.strip()}" for line in _difference_lines(compared)]
    for title, changes in _groups(compared):
        lines += ["", f"| {title} | before | after | change | interval | |"]
        lines.append("|---|---:|---:|---:|---:|---|")
        lines += [f"| {' | '.join(_cells(change))} |" for change in changes]
    return "\n".join([*lines, "", _method(compared)]) + "\n"


def summary(compared: Compared) -> str:
    """Return what has changed, in a sentence."""
    parts = [
        f"{len(found)} got {name}: {', '.join(change.name for change in found)}"
        for name, found in (("worse", compared.worse), ("better", compared.better))
        if found
    ]
    unclear = sum(change.verdict == "unclear" for change in compared.changes)
    said = "; ".join(parts) or "Nothing got better or worse beyond the noise"
    return f"{said}; {unclear} unclear, for which the runs were too short" if unclear else said


def _difference_lines(compared: Compared) -> Iterator[str]:
    if compared.differences:
        yield "these two runs differ in"
        for name, (before, after) in compared.differences.items():
            yield f"  {name}: {before} -> {after}"
    else:
        yield "same settings, machine and versions"
    for which, names in (("before", compared.only_before), ("after", compared.only_after)):
        if names:
            yield f"only in the run {which}: {', '.join(names)}"
    for caution in compared.cautions:
        yield f"CAUTION: {caution}"


def _groups(compared: Compared) -> Iterator[tuple[str, list[Change]]]:
    for kind, title in _TITLES.items():
        changes = [change for change in compared.changes if change.kind == kind]
        if changes:
            yield title, changes


def _line(cells: Sequence[str], width: int) -> str:
    name, before, after, change, interval, verdict = cells
    return (
        f"  {name:{width}} {before:>10} {after:>10} {change:>9} {interval:>19}  {verdict}".rstrip()
    )


def _cells(change: Change) -> tuple[str, ...]:
    interval = ""
    if change.low is not None and change.high is not None:
        interval = f"{_moved(change, change.low)} to {_moved(change, change.high)}"
    return (
        change.name,
        _value(change, change.before),
        _value(change, change.after),
        _moved(change, change.change),
        interval,
        _WORDS.get((change.kind, change.verdict), change.verdict),
    )


def _value(change: Change, value: float) -> str:
    if change.kind == "errors":
        return f"{100 * value:.2f} %"
    return f"{value:,.1f}" if change.kind == "cpu" else f"{value:,.2f}"


def _moved(change: Change, by: float) -> str:
    return f"{100 * (by if change.kind == 'errors' else by - 1):+.1f} %"


def _method(compared: Compared) -> str:
    floor = f"{100 * compared.floor:g} %"
    return (
        f"A change counts if its whole interval lies beyond {floor}, which --noise sets: so much "
        "do runs of the same code differ on a shared machine; it is the same if the whole lies "
        "within, and else unclear. Intervals are a bootstrap's from the histograms, widened so "
        "that of two equal runs one in twenty, at most, shows any change by chance. CPU is judged "
        "by its value. Quantiles with fewer than 20 calls beyond them, and CPU below 0.5 s, are "
        "too few to tell."
    )
