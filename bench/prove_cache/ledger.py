"""What a reader of one object is owed at a given moment."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from bench.prove_cache.history import GONE, NOT_THERE_YET, Fault, Read, Write


class _Acknowledged:
    """Writes in the order of their acknowledgements, and the rank that was reached with each."""

    def __init__(self, writes: Iterable[Write]) -> None:
        done = sorted((write.end, write.rank) for write in writes if write.end is not None)
        self.ends = [end for end, _ in done]
        self.ranks = list(accumulate((rank for _, rank in done), max))

    def missed_since(self, rank: int, start: float) -> float | None:
        """Return when the oldest write beyond a rank was acknowledged, if before the start."""
        index = bisect_right(self.ranks, rank)
        return self.ends[index] if index < len(self.ends) and self.ends[index] < start else None


class Ledger:
    """The writes of one object, made by one writer after another."""

    def __init__(self, writes: Iterable[Write]) -> None:
        known = self._known = list(writes)
        self._all = _Acknowledged(known)
        self._of = {
            process: _Acknowledged(write for write in known if write.by == process)
            for process in {write.by for write in known}
        }
        self._open = {write.rank: write.start for write in known if write.end is None}
        self._deleted_from = min((w.start for w in known if w.rank == GONE), default=None)

    def last_acknowledged(self, before: float) -> float | None:
        """Return when the newest write acknowledged before a moment was; None if none was."""
        index = bisect_left(self._all.ends, before)
        return self._all.ends[index - 1] if index else None

    def owed(self, moment: float) -> int:
        """Return the rank that a read starting at this moment must show at least."""
        index = bisect_left(self._all.ends, moment)
        return self._all.ranks[index - 1] if index else NOT_THERE_YET

    def rank_of(self, read: Read) -> int:
        """Return the rank that a read showed; absence is what it was last, or what it will be."""
        if read.shown is not None:
            return read.shown
        deleted = self._deleted_from is not None and self._deleted_from <= read.end
        return GONE if deleted else NOT_THERE_YET

    def missed_since(self, read: Read, excuses: Sequence[Fault] = ()) -> float | None:
        """Return when the oldest write that a read owed and did not show was acknowledged.

        None if it missed none. A write whose outcome is open may be seen at any time after its
        start, even after younger ones: nobody knows when the store took it. With excuses, others
        than the process that took it may miss what was acknowledged since those faults began; of
        a fault of one process, only what that process took.
        """
        if not excuses:
            return self._missed(self._all, read)
        return self._missed(
            _Acknowledged(w for w in self._known if not _excused(w, read, excuses)), read
        )

    def own_missed_since(self, read: Read) -> float | None:
        """Return the same of the writes alone that the process took which answered the read."""
        own = self._of.get(read.by)
        return None if own is None else self._missed(own, read)

    def _missed(self, acknowledged: _Acknowledged, read: Read) -> float | None:
        rank = self.rank_of(read)
        begun = self._open.get(rank)
        if begun is not None and begun <= read.end:
            return None
        return acknowledged.missed_since(rank, read.start)


def _excused(write: Write, read: Read, excuses: Iterable[Fault]) -> bool:
    return write.by != read.by and any(
        write.end is not None and write.end >= fault.start and fault.process in {"", write.by}
        for fault in excuses
    )
