"""What a check found, for a person and for a program."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from math import ceil
from typing import Any, Final

from bench.prove_cache.checker import Broken, Promise, Verdict, Window
from bench.prove_cache.history import ALLOWING, GONE, NOT_THERE_YET, History, Read

_SHOWN_IN_FULL: Final = 10
_NO_EVENT: Final = 3.0


def upper_bound(checked: int) -> float | None:
    """Return the share of stale reads that zero among so many rules out at 95 % confidence.

    The rule of three: Hanley and Lippman-Hand, If Nothing Goes Wrong, Is Everything All Right?,
    JAMA 249 (1983). It takes the reads for independent of each other.
    """
    return _NO_EVENT / checked if checked else None


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed; of none, 0."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else 0.0


def figures(history: History, verdict: Verdict) -> dict[str, Any]:
    """Return everything as JSON can hold it; times are in seconds."""
    return {
        "kept": verdict.kept,
        "reads": verdict.reads,
        "judged_share": verdict.judged_share,
        "sources": dict(verdict.sources),
        "strict": verdict.strict,
        "just_after_a_write": verdict.just_after,
        "nothing_owed": verdict.nothing_owed,
        "stale": len(verdict.stale),
        "writes_missed": len(verdict.first_of_each),
        "first_stale": [_plain(broken) for broken in verdict.first_of_each[:_SHOWN_IN_FULL]],
        "stale_share_below": upper_bound(verdict.strict) if not verdict.stale else None,
        "near": {"of all": _spread(verdict.near), "of the stale": _spread(_stale(verdict))},
        "redis_fault_windows": {kind: asdict(window) for kind, window in verdict.windows.items()},
        "failed_reads": dict(_codes(verdict.failed)),
        "failed_reads_of_killed_processes": dict(verdict.excused),
        "writes": _acknowledged(history),
        "failed_writes": dict(history.failed_writes),
        "created_behind_not_found": history.foreseen,
        "faults": dict(Counter(fault.kind for fault in history.faults)),
    }


def report(history: History, verdict: Verdict, promise: Promise) -> str:
    """Return everything as text."""
    return "\n".join(_lines(history, verdict, promise))


def _lines(history: History, verdict: Verdict, promise: Promise) -> Iterator[str]:
    yield f"reads               {len(history.reads):,} ({_counts(verdict.sources)})"
    yield (
        f"  to miss nothing   {verdict.strict:,}, "
        f"{verdict.just_after:,} of them within 1 ms after a write"
    )
    yield f"  near              {len(verdict.near):,}, to miss at most {promise.near_bound_s:g} s"
    yield f"  both together     {verdict.judged_share:.1%}, judged whatever was broken"
    yield f"  of the unwritten  {verdict.nothing_owed:,}, which owe nothing"
    yield (
        f"writes              {_acknowledged(history):,} acknowledged, "
        f"failed: {_counts(history.failed_writes)}"
    )
    yield f"  behind not found  {history.foreseen:,} products created under an id just asked for"
    yield f"faults              {_counts(Counter(fault.kind for fault in history.faults))}"
    yield f"failed reads        {_counts(_codes(verdict.failed))}"
    yield f"  of the killed     {_counts(verdict.excused)}"
    yield from _near_lines(verdict)
    for kind, window in verdict.windows.items():
        yield _window_line(kind, window, promise)
    first = verdict.first_of_each
    missed = f", which missed {len(first):,} writes; the first of each" if first else ""
    yield f"stale reads         {len(verdict.stale):,}{missed}"
    if not verdict.stale and (bound := upper_bound(verdict.strict)) is not None:
        yield (
            f"  at 95 %           fewer than {bound * 1e6:.3g} in a million "
            "(rule of three: Hanley and Lippman-Hand, JAMA 1983)"
        )
    begun = min((read.start for read in history.reads), default=0.0)
    for broken in first[:_SHOWN_IN_FULL]:
        yield f"  {_describe(broken, begun)}"
    for read in verdict.failed[:_SHOWN_IN_FULL]:
        yield f"  failed: {_place(read, begun)}: {read.code} after {_ms(read.end - read.start)}"


def _near_lines(verdict: Verdict) -> Iterator[str]:
    for name, values in (("all", verdict.near), ("stale", _stale(verdict))):
        spread = _spread(values)
        yield (
            f"near, of {name:11}{spread['count']:,} reads: staleness p50 {_ms(spread['p50'])}, "
            f"p99 {_ms(spread['p99'])}, greatest {_ms(spread['greatest'])}"
        )


def _window_line(kind: str, window: Window, promise: Promise) -> str:
    text = (
        f"{kind:20}{window.faults} times: {window.reads:,} reads during it and "
        f"{promise.delivered_s:g} s after, slowest {_ms(window.slowest_s)}"
    )
    if kind not in ALLOWING:
        return text
    if not window.stale:
        return f"{text}; none stale"
    return (
        f"{text}; {window.stale:,} stale, as it allows, by {_ms(window.greatest_s)} at most, "
        f"the last {_ms(window.last_stale_after_s)} after the fault's end"
    )


def _describe(broken: Broken, begun: float) -> str:
    return (
        f"{_place(broken.read, begun)}: showed {_rank(broken.shown)}, owed {_rank(broken.owed)}, "
        f"acknowledged {_ms(broken.staleness_s)} before"
    )


def _place(read: Read, begun: float) -> str:
    asked = f", asked for {read.asked}" if read.asked else ""
    return f"{read.target} at {read.start - begun:.4f} s from {read.by} ({read.source}{asked})"


def _plain(broken: Broken) -> Mapping[str, Any]:
    return {
        **broken.read._asdict(),
        "shown": broken.shown,
        "owed": broken.owed,
        "acknowledged": broken.acknowledged,
    }


def _codes(reads: Iterable[Read]) -> Counter[str]:
    return Counter(read.code for read in reads)


def _rank(rank: int) -> str:
    return {NOT_THERE_YET: "nothing", GONE: "its deletion"}.get(rank, str(rank))


def _stale(verdict: Verdict) -> list[float]:
    return [staleness_s for staleness_s in verdict.near if staleness_s]


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "count": len(values),
        "p50": percentile(values, 0.5),
        "p99": percentile(values, 0.99),
        "greatest": max(values, default=0.0),
    }


def _acknowledged(history: History) -> int:
    return sum(write.end is not None for write in history.writes)


def _counts(counter: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counter.items())) or "none"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
