"""The check of a finished run, after it: nothing here hurries, and nothing is sampled."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.prove_cache.history import NEAR, OK, Fault, History, Read, Write
from bench.prove_cache.ledger import Ledger

JUST_AFTER_S: Final = 0.001
_RECONNECTION_S: Final = 2.0
_OF_A_KILLED_PROCESS: Final = {"UNAVAILABLE", "CANCELLED"}


@dataclass(frozen=True, slots=True)
class Promise:
    """What a read may miss, in seconds.

    An answer from a process's own memory may miss writes acknowledged less than
    ``near_bound_s`` before it was asked for, but none that this process took; one asked for
    while Redis is cut off, or until ``recovery_s`` after, any; every other answer none.
    """

    near_bound_s: float = 1.0
    recovery_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Broken:
    """A read that broke the promise."""

    read: Read
    shown: int
    owed: int
    acknowledged: float
    """When the oldest write that it does not show was acknowledged."""

    @property
    def staleness_s(self) -> float:
        """How long the oldest missed write had been acknowledged when the read started."""
        return self.read.start - self.acknowledged


@dataclass(slots=True)
class Window:
    """The reads asked for while faults of one kind kept Redis away, and just after."""

    faults: int = 0
    reads: int = 0
    stale: int = 0
    """Those older than they might be at any other time."""
    greatest_s: float = 0.0
    last_stale_after_s: float = 0.0
    """How long after its fault's end the last stale read started."""
    slowest_s: float = 0.0

    def count(self, read: Read) -> None:
        """Count a read."""
        self.reads += 1
        self.slowest_s = max(self.slowest_s, read.end - read.start)

    def count_stale(self, staleness_s: float, after_s: float) -> None:
        """Count it as stale, having started so long after the fault's end."""
        self.stale += 1
        self.greatest_s = max(self.greatest_s, staleness_s)
        self.last_stale_after_s = max(self.last_stale_after_s, after_s)


@dataclass(slots=True)
class Verdict:
    """What the check found. Times are in seconds."""

    sources: Counter[str] = field(default_factory=Counter)
    strict: int = 0
    """Reads that were to miss nothing."""
    just_after: int = 0
    """Those of them that started within a millisecond after a write."""
    nothing_owed: int = 0
    """Reads of objects of which no write had been acknowledged."""
    stale: list[Broken] = field(default_factory=list)
    near: list[float] = field(default_factory=list)
    """The staleness of every read answered from a process's own memory."""
    windows: dict[str, Window] = field(default_factory=dict)
    failed: list[Read] = field(default_factory=list)
    excused: Counter[str] = field(default_factory=Counter)
    """Reads that failed in a process that was killed."""

    @property
    def first_of_each(self) -> list[Broken]:
        """The first stale read of each write that was missed."""
        first: dict[tuple[str, float], Broken] = {}
        for broken in self.stale:
            known = first.setdefault((broken.read.target, broken.acknowledged), broken)
            if broken.read.start < known.read.start:
                first[broken.read.target, broken.acknowledged] = broken
        return sorted(first.values(), key=lambda broken: broken.read.start)

    @property
    def kept(self) -> bool:
        """Whether the promise was kept."""
        return not self.stale and not self.failed


def check(history: History, promise: Promise) -> Verdict:
    """Return what there is to say about a run."""
    verdict = Verdict()
    ledgers = _ledgers(history.writes)
    windows = _RedisWindows(history.faults, promise.recovery_s)
    verdict.windows = windows.figures
    kills = [fault for fault in history.faults if fault.process]
    nothing = Ledger([])
    for read in history.reads:
        if read.code != OK:
            _count_failure(verdict, read, kills)
            continue
        verdict.sources[read.source] += 1
        ledger = ledgers.get(read.target, nothing)
        last = ledger.last_acknowledged(read.start)
        if last is None:
            verdict.nothing_owed += 1
            continue
        missed = ledger.missed_since(read)
        staleness_s = 0.0 if missed is None else read.start - missed
        near = read.source == NEAR and not read.asked
        allowed_s = promise.near_bound_s if near else 0.0
        if windows.holds(read, staleness_s, allowed_s):
            continue
        if near:
            verdict.near.append(staleness_s)
        else:
            verdict.strict += 1
            verdict.just_after += read.start - last <= JUST_AFTER_S
        own = ledger.own_missed_since(read) if near else None
        if own is not None:
            shown, owed = ledger.rank_of(read), ledger.owed(read.start)
            verdict.stale.append(Broken(read, shown, owed, own))
        elif missed is not None and staleness_s > allowed_s:
            shown, owed = ledger.rank_of(read), ledger.owed(read.start - allowed_s)
            verdict.stale.append(Broken(read, shown, owed, missed))
    return verdict


def _ledgers(writes: Iterable[Write]) -> Mapping[str, Ledger]:
    by_target: defaultdict[str, list[Write]] = defaultdict(list)
    for write in writes:
        by_target[write.target].append(write)
    return {target: Ledger(of_target) for target, of_target in by_target.items()}


def _count_failure(verdict: Verdict, read: Read, kills: Sequence[Fault]) -> None:
    excused = read.code in _OF_A_KILLED_PROCESS and any(
        kill.process == read.by
        and kill.start <= read.end
        and read.start <= kill.end + _RECONNECTION_S
        for kill in kills
    )
    if excused:
        verdict.excused[read.code] += 1
    else:
        verdict.failed.append(read)


class _RedisWindows:
    """The times in which Redis was away or had just come back."""

    def __init__(self, faults: Iterable[Fault], recovery_s: float) -> None:
        self._faults = [fault for fault in faults if not fault.process]
        self._recovery_s = recovery_s
        self.figures: dict[str, Window] = {}
        for fault in self._faults:
            self.figures.setdefault(fault.kind, Window()).faults += 1

    def holds(self, read: Read, staleness_s: float, allowed_s: float) -> bool:
        """Count a read that was asked for in a window; False if it was not."""
        for fault in self._faults:
            if fault.start <= read.start <= fault.end + self._recovery_s:
                window = self.figures[fault.kind]
                window.count(read)
                if staleness_s > allowed_s:
                    window.count_stale(staleness_s, read.start - fault.end)
                return True
        return False
