"""Keys of which few are asked for often and many seldom."""

import random
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Zipf(Generic[Item]):
    """Draws items, that of rank k with a probability in proportion to ``1 / k ** exponent``.

    Which item has which rank is shuffled by the seed, so that what is popular does not lie
    side by side. An exponent of 0 draws all alike.
    """

    def __init__(self, items: Sequence[Item], exponent: float, seed: int) -> None:
        if not items:
            raise ValueError("there is nothing to draw from")
        self._ranked = list(items)
        random.Random(seed).shuffle(self._ranked)  # noqa: S311 (nothing secret)
        weights = (rank**-exponent for rank in range(1, len(self._ranked) + 1))
        self._cumulative = list(accumulate(weights))

    def draw(self, by: random.Random) -> Item:
        """Return one item."""
        place = bisect_left(self._cumulative, by.random() * self._cumulative[-1])
        return self._ranked[place]

    def draw_several(self, by: random.Random, count: int) -> list[Item]:
        """Return so many different items, or all if there are fewer."""
        drawn: dict[Item, None] = {}
        while len(drawn) < min(count, len(self._ranked)):
            drawn[self.draw(by)] = None
        return list(drawn)
