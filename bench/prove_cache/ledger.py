"""What a reader of one object is owed at a given moment."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate

from bench.prove_cache.history import GONE, NOT_THERE_YET, Read, Write


class Ledger:
    """The writes of one object, made by one writer after another."""

    def __init__(self, writes: Iterable[Write]) -> None:
        known = list(writes)
        done = sorted((write.end, write.rank) for write in known if write.end is not None)
        self._ends = [end for end, _ in done]
        self._ranks = list(accumulate((rank for _, rank in done), max))
        self._open = {write.rank: write.start for write in known if write.end is None}
        self._deleted_from = min((w.start for w in known if w.rank == GONE), default=None)

    def last_acknowledged(self, before: float) -> float | None:
        """Return when the newest write acknowledged before a moment was; None if none was."""
        index = bisect_left(self._ends, before)
        return self._ends[index - 1] if index else None

    def owed(self, moment: float) -> int:
        """Return the rank that a read starting at this moment must show at least."""
        index = bisect_left(self._ends, moment)
        return self._ranks[index - 1] if index else NOT_THERE_YET

    def rank_of(self, read: Read) -> int:
        """Return the rank that a read showed; absence is what it was last, or what it will be."""
        if read.shown is not None:
            return read.shown
        deleted = self._deleted_from is not None and self._deleted_from <= read.end
        return GONE if deleted else NOT_THERE_YET

    def missed_since(self, read: Read) -> float | None:
        """Return when the oldest write that a read owed and did not show was acknowledged.

        None if it missed none. A write whose outcome is open may be seen at any time after its
        start, even after younger ones: nobody knows when the store took it.
        """
        rank = self.rank_of(read)
        index = bisect_right(self._ranks, rank)
        if index == len(self._ends) or self._ends[index] >= read.start:
            return None
        begun = self._open.get(rank)
        return None if begun is not None and begun <= read.end else self._ends[index]
