"""How sure a ratio of medians is."""

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 1_000

Counts = Mapping[int, int]
"""How often each value, in whole microseconds, was measured."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of medians, and the interval that holds it with a confidence of 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Block:
    values: list[int]
    cumulative: list[int]

    @property
    def count(self) -> int:
        return self.cumulative[-1] if self.cumulative else 0

    def up_to(self, value: int) -> int:
        place = bisect_right(self.values, value)
        return self.cumulative[place - 1] if place else 0


def ratio_of_medians(
    base: Sequence[Counts], other: Sequence[Counts], seed: int, resamples: int = RESAMPLES
) -> Ratio | None:
    """Return the median of ``base`` divided by that of ``other``, or None where one has no calls.

    Both are cut into the same stretches of time. The interval is that of a block bootstrap
    (Kuensch 1989, with blocks that do not overlap): stretches are drawn with replacement, the
    same for both, and the ratio is taken of all that was measured in them; low and high are
    percentiles of the ratios so found. Calls of one moment resemble each other, and resampling
    them one by one would make the interval too narrow.
    """
    bases, others = _blocks(base), _blocks(other)
    values_of_base, values_of_other = _values(bases), _values(others)
    once = dict.fromkeys(range(len(bases)), 1)
    value = _ratio(_median(bases, once, values_of_base), _median(others, once, values_of_other))
    if value is None:
        return None
    found = []
    by = random.Random(seed)  # noqa: S311 (nothing secret)
    for _ in range(resamples):
        drawn = Counter(by.choices(range(len(bases)), k=len(bases)))
        ratio = _ratio(
            _median(bases, drawn, values_of_base), _median(others, drawn, values_of_other)
        )
        if ratio is not None:
            found.append(ratio)
    found.sort()
    outside = (1 - CONFIDENCE) / 2
    return Ratio(value, _quantile(found, outside), _quantile(found, 1 - outside))


def _blocks(counts: Sequence[Counts]) -> list[_Block]:
    blocks = []
    for block in counts:
        values = sorted(block)
        blocks.append(_Block(values, list(accumulate(block[value] for value in values))))
    return blocks


def _values(blocks: Sequence[_Block]) -> list[int]:
    return sorted({value for block in blocks for value in block.values})


def _median(blocks: Sequence[_Block], times: Mapping[int, int], values: list[int]) -> float | None:
    """Return the least value that half of the calls do not exceed, each block so many times."""
    drawn = [(blocks[number], count) for number, count in times.items()]
    half = sum(block.count * count for block, count in drawn) / 2
    if not half:
        return None
    low, high = 0, len(values) - 1
    while low < high:
        middle = (low + high) // 2
        if sum(block.up_to(values[middle]) * count for block, count in drawn) < half:
            low = middle + 1
        else:
            high = middle
    return values[low]


def _ratio(base: float | None, other: float | None) -> float | None:
    return base / other if base is not None and other else None


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
