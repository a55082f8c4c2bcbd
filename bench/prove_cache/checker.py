"""The check of a finished run, after it: nothing here hurries, and nothing is sampled."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.prove_cache.history import ALLOWING, KILL, NEAR, OK, Fault, History, Read, Write
from bench.prove_cache.ledger import Ledger
from services.common.cache.breaker import SETTLE_S

JUST_AFTER_S: Final = 0.001
_RECONNECTION_S: Final = 2.0
_OF_A_KILLED_PROCESS: Final = {"UNAVAILABLE", "CANCELLED"}


@dataclass(frozen=True, slots=True)
class Promise:
    """What a read may miss, in seconds.

    An answer from a process's own memory may miss writes acknowledged less than
    ``near_bound_s`` before it was asked for, but none that this process took; every other answer
    none. What a process owes that alone was cut off from Redis, or that alone noticed that Redis
    hung, others may miss until ``delivered_s`` after the fault.
    """

    near_bound_s: float = 1.0
    delivered_s: float = SETTLE_S


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
    """The reads asked for during faults of one kind, and just after."""

    faults: int = 0
    reads: int = 0
    stale: int = 0
    """Those older than they might be at any other time, as the kind of fault allows."""
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
    reads: int = 0
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
    def judged_share(self) -> float:
        """Which part of all reads was held to its bound, whatever was broken meanwhile."""
        return (self.strict + len(self.near)) / self.reads if self.reads else 0.0

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
    verdict = Verdict(reads=len(history.reads))
    ledgers = _ledgers(history.writes)
    windows = _Windows(history.faults, promise.delivered_s)
    verdict.windows = windows.figures
    kills = [fault for fault in history.faults if fault.kind == KILL]
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
        near = read.source == NEAR and not read.asked
        allowed_s = promise.near_bound_s if near else 0.0
        missed = ledger.missed_since(read)
        excuses = windows.excuses(read)
        if excuses:
            stale_s = 0.0 if missed is None else read.start - missed
            missed = ledger.missed_since(read, excuses)
            if stale_s > allowed_s and (missed is None or read.start - missed <= allowed_s):
                windows.count_stale(excuses, read, stale_s)
        elif near:
            verdict.near.append(0.0 if missed is None else read.start - missed)
        else:
            verdict.strict += 1
            verdict.just_after += read.start - last <= JUST_AFTER_S
        own = ledger.own_missed_since(read) if near else None
        if own is not None:
            shown, owed = ledger.rank_of(read), ledger.owed(read.start)
            verdict.stale.append(Broken(read, shown, owed, own))
        elif missed is not None and read.start - missed > allowed_s:
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


class _Windows:
    """The times in which Redis was away, or had just come back, for somebody."""

    def __init__(self, faults: Iterable[Fault], delivered_s: float) -> None:
        self._faults = [fault for fault in faults if fault.kind != KILL]
        self._delivered_s = delivered_s
        self.figures: dict[str, Window] = {}
        for fault in self._faults:
            self.figures.setdefault(fault.kind, Window()).faults += 1

    def excuses(self, read: Read) -> Sequence[Fault]:
        """Count a read, and return the faults that allow it to miss something."""
        at_work = [
            fault
            for fault in self._faults
            if fault.start <= read.start <= fault.end + self._delivered_s
        ]
        for fault in at_work:
            self.figures[fault.kind].count(read)
        return [fault for fault in at_work if _allows(fault, read)]

    def count_stale(self, excuses: Iterable[Fault], read: Read, staleness_s: float) -> None:
        """Count a read that missed no more than these allow."""
        for fault in excuses:
            self.figures[fault.kind].count_stale(staleness_s, read.start - fault.end)


def _allows(fault: Fault, read: Read) -> bool:
    """Say whether others know of writes of which Redis, and so this read, may not."""
    if fault.kind not in ALLOWING:
        return False
    if not fault.process:
        return True
    return fault.process != read.by and _service(fault.process) == _service(read.by)


def _service(process: str) -> str:
    return process.partition("-")[0]
