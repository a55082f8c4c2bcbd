"""Axes: where on a chart a value lies, and which values are named."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Final

NAMED_PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9, 99.99, 99.999)
_STEPS: Final = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Scale:
    """From ``low`` to ``high`` on the axis, ``start`` to ``end`` on the chart, by ``bend``."""

    low: float
    high: float
    start: float
    end: float
    bend: Callable[[float], float] = float

    def at(self, value: float) -> float:
        """Return where a value lies; one beyond the axis lies at its end."""
        low, high = self.bend(self.low), self.bend(self.high)
        share = (self.bend(min(max(value, self.low), self.high)) - low) / (high - low)
        return self.start + share * (self.end - self.start)


def nines(percentile: float) -> float:
    """Return how many nines a percentile has: 90 has one, 99 two, 99.9 three."""
    return -log10(1 - percentile / 100)


def last_percentile(count: int) -> float:
    """Return the highest percentile that so many calls can tell of, 99 at the least."""
    return 100 * (1 - 1 / max(count, 100))


def log_bounds(low: float, high: float) -> tuple[float, float]:
    """Return the 1, 2 or 5 of its decade that lies below, and the one that lies above."""
    below = max(step for step in _around(low) if step <= low)
    above = min(step for step in _around(high) if step >= high and step > below)
    return below, above


def log_ticks(low: float, high: float) -> list[float]:
    """Return the values to name between bounds: powers of ten, or 1, 2 and 5 on a short axis."""
    steps = (1,) if log10(high / low) > 2.5 else (1, 2, 5)
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    ticks = [_decimal(step, decade) for decade in decades for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def linear_ticks(high: float, about: int = 3) -> list[float]:
    """Return about so many round values from 0, the last not below ``high``."""
    rough = high / about
    decade = floor(log10(rough))
    size = next(step for step in (_decimal(each, decade) for each in _STEPS) if step >= rough)
    return [size * number for number in range(ceil(high / size) + 1)]


def _around(value: float) -> list[float]:
    decade = floor(log10(value))
    # One decade more on either side, as rounding may put a power of ten into the wrong one.
    return [_decimal(step, each) for each in range(decade - 1, decade + 3) for step in (1, 2, 5)]


def _decimal(step: int, decade: int) -> float:
    """Return the number as decimals write it: 0.2 and not 2 * 10 ** -1."""
    return float(f"{step}e{decade}")
