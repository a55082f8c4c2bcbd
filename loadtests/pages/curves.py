"""Latency by percentile: one chart for a method, one line for an arm."""

from collections.abc import Iterator, Sequence
from math import log10
from typing import Final

from loadtests.pages.hover import Readable, Spot
from loadtests.pages.markup import element
from loadtests.pages.plot import Panel, Point, arm_class, chart, label, line, spread
from loadtests.pages.scales import (
    NAMED_PERCENTILES,
    Scale,
    last_percentile,
    log_bounds,
    log_ticks,
    nines,
)
from loadtests.pages.words import arm_name, axis_time, milliseconds
from loadtests.results import Sample

SIZE: Final = (460, 320)
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 354, 30, 268
_LOWEST_MS: Final = 0.01  # what a latency is resolved to; a logarithm has no place for 0
_MARKED: Final = (50.0, 90.0, 99.0, 99.9)


def curve_chart(samples: Sequence[Sample], identity: str) -> str:
    """Return the chart of a method's arms."""
    said = "; ".join(
        f"{arm_name(sample.arm)}: p50 {milliseconds(sample.latency_ms.p50)} ms, "
        f"p99 {milliseconds(sample.latency_ms.p99)} ms"
        for sample in samples
    )
    return chart(
        curve_panel(samples),
        identity=identity,
        size=SIZE,
        title=f"Latency of {samples[0].method} by percentile",
        description=f"Both axes are logarithmic, the lower one in nines. {said}.",
    )


def curve_panel(samples: Sequence[Sample]) -> Iterator[str]:
    """Give the axes and lines of a method's arms, for a chart of ``SIZE``."""
    panel = _panel(samples)
    yield from panel.grid(log_ticks(panel.y.low, panel.y.high), axis_time, "latency")
    named = [each for each in NAMED_PERCENTILES if each <= panel.x.high]
    yield from panel.base(named, lambda each: f"{each:g} %", "percentile of the calls")
    for sample in samples:
        yield line(_points(sample, panel), class_=f"line {arm_class(sample.arm)}")
        yield from _marks(sample, panel)
    yield from _names([sample for sample in samples if sample.curve], panel)


def readable_curves(samples: Sequence[Sample]) -> Readable:
    """Return what the chart tells whoever points at it."""
    panel = _panel(samples)
    return {
        arm_name(sample.arm): [
            Spot(round(x, 1), f"{share:g} %", f"{milliseconds(value)} ms")
            for (x, _), (share, value) in zip(_points(sample, panel), sample.curve, strict=True)
        ]
        for sample in samples
    }


def _panel(samples: Sequence[Sample]) -> Panel:
    values = [value for sample in samples for _, value in sample.curve]
    low, high = log_bounds(
        max(_LOWEST_MS, min(values, default=1.0)), max(_LOWEST_MS, *values, _LOWEST_MS)
    )
    last = last_percentile(max(sample.count for sample in samples))
    return Panel(Scale(0, last, _LEFT, _RIGHT, nines), Scale(low, high, _BOTTOM, _TOP, log10))


def _points(sample: Sample, panel: Panel) -> list[Point]:
    last = last_percentile(sample.count)
    return [(panel.x.at(min(share, last)), panel.y.at(value)) for share, value in sample.curve]


def _marks(sample: Sample, panel: Panel) -> Iterator[str]:
    last, at = last_percentile(sample.count), dict(sample.curve)
    class_ = f"mark {arm_class(sample.arm)}"
    for share in _MARKED:
        if share in at and share <= last:
            x, y = panel.x.at(share), panel.y.at(at[share])
            yield element("circle", class_=class_, cx=x, cy=y, r=3.5)


def _names(samples: Sequence[Sample], panel: Panel) -> Iterator[str]:
    ends = [_points(sample, panel)[-1] for sample in samples]
    heights = spread([y for _, y in ends], apart=17, lowest=_BOTTOM)
    for sample, (x, _), height in zip(samples, ends, heights, strict=True):
        yield element("circle", class_=f"dot {arm_class(sample.arm)}", cx=x + 12, cy=height, r=4.0)
        yield label(arm_name(sample.arm), x + 20, height + 4.5, class_="name")
