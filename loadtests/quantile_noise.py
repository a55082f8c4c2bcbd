"""How far a quantile may be off by chance, from the histogram that it was read from.

A bootstrap would draw all calls again, with replacement, and take the quantile of each draw. What
it takes is the call whose rank is the k-th smallest of n uniform numbers, and that rank follows a
beta distribution with k and n + 1 - k (David and Nagaraja, Order Statistics, 3rd edition, 2.1). So
one number is drawn for each resample, and not n. Calls count as independent, which in bursts they
are not: what this says is the least that chance can do.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from math import ceil, log
from random import Random
from statistics import stdev
from typing import Final

RESAMPLES: Final = 1000
_BEYOND: Final = 20  # calls beyond a quantile; with fewer it is the run's few slowest


class Quantiles:
    """The quantiles of recorded values, each a value and how often, ascending."""

    def __init__(self, recorded: Sequence[tuple[int, int]]) -> None:
        # A value of 0 has no logarithm, and is below what a clock of microseconds can tell.
        self._values = [max(1, value) for value, _ in recorded]
        self._ranks = list(accumulate(count for _, count in recorded))
        self.count = self._ranks[-1] if self._ranks else 0

    def at(self, share: float) -> int:
        """Return the smallest value that this share of the values does not exceed."""
        return self._of_rank(ceil(share * self.count))

    def told(self, share: float) -> bool:
        """Return whether enough values lie on either side for the quantile to mean something."""
        return self.count * min(share, 1 - share) >= _BEYOND

    def log_error(self, share: float, draws: Random) -> float:
        """Return the bootstrap's standard error of the quantile's natural logarithm."""
        rank = ceil(share * self.count)
        resampled = (
            self._of_rank(ceil(self.count * draws.betavariate(rank, self.count + 1 - rank)))
            for _ in range(RESAMPLES)
        )
        return stdev(log(value) for value in resampled)

    def _of_rank(self, rank: int) -> int:
        return self._values[bisect_left(self._ranks, max(1, rank))]
