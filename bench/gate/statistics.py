"""What can be said of a median, without assuming how the values scatter."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, inf
from statistics import median
from typing import Final

CONFIDENCE: Final = 0.99


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the bounds between which the truth lies with the confidence asked for."""

    middle: float
    low: float
    high: float


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Return the median and its confidence interval by order statistics.

    Each value is as likely above the true median as below it, so the number below is binomial
    (W. J. Conover, *Practical Nonparametric Statistics*, 3.2). The bounds are the values of the
    narrowest symmetric ranks that cover at least ``confidence``; too few values have no bounds.
    """
    ordered = sorted(values)
    rank = _rank(len(ordered), confidence)
    low, high = (ordered[rank - 1], ordered[-rank]) if rank else (-inf, inf)
    return Interval(median(ordered), low, high)


def sign_test(values: Sequence[float]) -> float:
    """Return how likely it is that so many values, or more, lie on one side of 1 by chance.

    It is the two-sided sign test (ibid., 3.4): values of exactly 1 are left out.
    """
    above = sum(value > 1 for value in values)
    below = sum(value < 1 for value in values)
    count = above + below
    return min(1.0, 2 * _at_most(min(above, below), count))


def holm(likelihoods: Sequence[float]) -> list[float]:
    """Return the likelihoods of several tests, corrected for there being several.

    S. Holm, *A Simple Sequentially Rejective Multiple Test Procedure*, 1979.
    """
    count = len(likelihoods)
    corrected = [1.0] * count
    floor = 0.0
    for place, number in enumerate(sorted(range(count), key=likelihoods.__getitem__)):
        floor = max(floor, min(1.0, likelihoods[number] * (count - place)))
        corrected[number] = floor
    return corrected


def _rank(count: int, confidence: float) -> int:
    """Return the highest rank from either end between which the median lies; 0 for none."""
    rank = 0
    while rank < count // 2 and 2 * _at_most(rank, count) <= 1 - confidence:
        rank += 1
    return rank


def _at_most(successes: int, count: int) -> float:
    """Return how likely a fair coin shows at most so many heads."""
    return float(sum(comb(count, k) for k in range(successes + 1)) / 2**count)
