"""A run second by second: calls, errors and latencies, one chart for a method."""

from collections.abc import Iterator, Mapping, Sequence
from math import log10
from typing import Final

from loadtests.pages.hover import Readable, Spot
from loadtests.pages.markup import element
from loadtests.pages.plot import Panel, Point, arm_class, chart, line
from loadtests.pages.scales import Scale, linear_ticks, log_bounds, log_ticks
from loadtests.pages.words import arm_name, axis_time, milliseconds, whole
from loadtests.results import Moment

_SIZE: Final = (460, 420)
_LEFT, _RIGHT = 60, 446
_RATE: Final = (132, 30)  # bottom and top of the upper panel
_LATENCY: Final = (368, 182)
_USERS: Final = (268, 30)
_LOWEST_MS: Final = 0.01

Arms = Mapping[str, Sequence[Moment]]
"""The moments of each arm of a method."""


def timeline_chart(method: str, arms: Arms, identity: str) -> str:
    """Return the chart of a method's arms."""
    calls = sum(moment.count for moments in arms.values() for moment in moments)
    errors = sum(moment.errors for moments in arms.values() for moment in moments)
    return chart(
        [*_rates(arms), *_latencies(arms)],
        identity=identity,
        size=_SIZE,
        title=f"{method} second by second",
        description=(
            f"Above, calls per second; below, p50 and p99 of each second, logarithmic. "
            f"{whole(calls)} calls and {whole(errors)} errors in all."
        ),
    )


def readable_timeline(arms: Arms) -> Readable:
    """Return what the chart tells whoever points at it."""
    along = _along(arms)
    return {
        arm_name(arm): [
            Spot(round(along.at(moment.at_s), 1), f"{moment.at_s:g} s", _said(moment))
            for moment in moments
        ]
        for arm, moments in arms.items()
    }


def users_vary(timeline: Sequence[Moment]) -> bool:
    """Return whether the number of users changed while measured."""
    return len({moment.users for moment in timeline}) > 1


def users_chart(timeline: Sequence[Moment]) -> str:
    """Return how many users there were in each second."""
    users = _users(timeline)
    along = _along({"": timeline})
    ticks = linear_ticks(max(1, *users.values()))
    panel = Panel(along, Scale(0, ticks[-1], *_USERS))
    points = [(panel.x.at(at_s), panel.y.at(count)) for at_s, count in users.items()]
    return chart(
        [
            *panel.grid(ticks, lambda each: f"{each:,g}", "users"),
            *_seconds(panel),
            line(points, class_="line plain"),
        ],
        identity="users",
        size=(_SIZE[0], _USERS[0] + _SIZE[1] - _LATENCY[0]),
        title="Users second by second",
        description=f"From {min(users.values())} to {max(users.values())} users.",
    )


def readable_users(timeline: Sequence[Moment]) -> Readable:
    """Return what the chart of the users tells whoever points at it."""
    along = _along({"": timeline})
    return {
        "users": [
            Spot(round(along.at(at_s), 1), f"{at_s:g} s", whole(count))
            for at_s, count in _users(timeline).items()
        ]
    }


def _users(timeline: Sequence[Moment]) -> dict[float, int]:
    return {moment.at_s: moment.users for moment in sorted(timeline, key=lambda each: each.at_s)}


def _seconds(panel: Panel) -> Iterator[str]:
    ticks = linear_ticks(panel.x.high, about=5)
    yield from panel.base(
        [tick for tick in ticks if tick <= panel.x.high], lambda each: f"{each:g} s", "time"
    )


def _said(moment: Moment) -> str:
    parts = [f"{whole(moment.count)}/s"]
    if moment.p50_ms is not None and moment.p99_ms is not None:
        parts.append(f"p50 {milliseconds(moment.p50_ms)} ms")
        parts.append(f"p99 {milliseconds(moment.p99_ms)} ms")
    if moment.errors:
        parts.append(f"{whole(moment.errors)} failed")
    return ", ".join([*parts, f"{whole(moment.users)} users"])


def _rates(arms: Arms) -> Iterator[str]:
    highest = max((moment.count for moments in arms.values() for moment in moments), default=0)
    ticks = linear_ticks(max(1.0, highest))
    panel = Panel(_along(arms), Scale(0, ticks[-1], *_RATE))
    yield from panel.grid(ticks, lambda each: f"{each:,g}", "calls per second")
    for arm, moments in arms.items():
        points = [(panel.x.at(each.at_s), panel.y.at(each.count)) for each in moments]
        yield line(points, class_=f"line {arm_class(arm)}")
        for moment in moments:
            if moment.errors:
                x = panel.x.at(moment.at_s)
                yield element("path", class_="failed", d=f"M{x:.1f} {_RATE[0]}v-9")


def _latencies(arms: Arms) -> Iterator[str]:
    values = [
        value
        for moments in arms.values()
        for moment in moments
        for value in (moment.p50_ms, moment.p99_ms)
        if value is not None
    ]
    low, high = log_bounds(
        max(_LOWEST_MS, min(values, default=1.0)), max(_LOWEST_MS, *values, _LOWEST_MS)
    )
    panel = Panel(_along(arms), Scale(low, high, *_LATENCY, log10))
    yield from panel.grid(log_ticks(low, high), axis_time, "p50 (bold) and p99")
    yield from _seconds(panel)
    for arm, moments in arms.items():
        for name, picked in (
            ("faint", [_point(panel, each.at_s, each.p99_ms) for each in moments]),
            ("line", [_point(panel, each.at_s, each.p50_ms) for each in moments]),
        ):
            yield line(picked, class_=f"{name} {arm_class(arm)}")


def _point(panel: Panel, at_s: float, value: float | None) -> Point | None:
    return None if value is None else (panel.x.at(at_s), panel.y.at(value))


def _along(arms: Arms) -> Scale:
    end = max((moment.at_s for moments in arms.values() for moment in moments), default=0.0)
    return Scale(0, max(1.0, end), _LEFT, _RIGHT)
