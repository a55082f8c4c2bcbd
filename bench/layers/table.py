"""What the measured layers cost, as one table for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from statistics import median
from typing import Any, Final

_COLUMNS: Final = (
    "per operation",
    "time us",
    "IQR us",
    "ops/s",
    "CPU us",
    "stores us",
    "x time",
    "x CPU",
)
_WIDTHS: Final = (42, 10, 8, 11, 10, 10, 7, 7)

EXPLANATION: Final = """\
Medians of rounds, per operation. time: the round's by the clock, so of what runs side by side an
operation's share, not its latency. IQR: of the rounds. CPU: of this process, or of the services
that were called. stores: the CPU of MongoDB and Redis. x: the median ratio to the group's first
member, round by round."""


def table(saved: Mapping[str, Any]) -> str:
    """Return the table of what pytest-benchmark has saved."""
    lines = [_line(_COLUMNS), "-" * (sum(_WIDTHS))]
    for group, found in groupby(saved["benchmarks"], key=lambda one: str(one["group"])):
        lines.append(group)
        lines.extend(_rows(list(found)))
    return "\n".join(lines)


def _rows(group: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    first = group[0]
    for one in group:
        stats, extra = one["stats"], one["extra_info"]
        yield _line(
            (
                f"  {extra['member']}",
                _us(stats["median"] * 1e6),
                _us(stats["iqr"] * 1e6),
                f"{1 / stats['median']:,.0f}",
                _us(extra["cpu_us"]),
                _us(extra["stores_cpu_us"]) if extra["stores_cpu_us"] else "",
                _times(_ratio(stats["data"], first["stats"]["data"])),
                _times(_ratio(extra["cpu_us_by_round"], first["extra_info"]["cpu_us_by_round"])),
            )
        )


def _ratio(ours: Sequence[float], firsts: Sequence[float]) -> float:
    return median(our / first for our, first in zip(ours, firsts, strict=True))


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.3f}"


def _us(value: float) -> str:
    """Return three digits at least."""
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}" if value < 10 else f"{value:.1f}"


def _line(cells: Sequence[str]) -> str:
    first, *others = zip(cells, _WIDTHS, strict=True)
    return f"{first[0]:<{first[1]}}" + "".join(f"{text:>{width}}" for text, width in others)
