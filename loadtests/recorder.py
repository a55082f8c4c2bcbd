"""What one generating process has measured and not yet reported, in a form that travels."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from loadtests.arrivals import Punctuality

Key = tuple[str, str]
"""A method, and its arm or ``""``."""

LONGEST_US: Final = 60_000_000
_EXACT_BITS: Final = 14  # as a histogram of 4 significant digits: exact up to 16,384 us


@dataclass(slots=True)
class Calls:
    """What the calls of one key have come to within one second.

    ``latencies_us`` counts latencies in microseconds, ``errors`` statuses, and ``sources`` what
    ``x-cache`` said.
    """

    latencies_us: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Second:
    """What happened in one second of the clock on the wall."""

    calls: dict[Key, Calls] = field(default_factory=dict)
    punctuality: Punctuality = field(default_factory=Punctuality)
    cpu_s: float = 0.0


@dataclass(slots=True)
class Delta:
    """What was measured since the last report.

    ``sold`` is how many pieces more of each product were sold than given back, and ``open_orders``
    how many checkouts ended without anybody knowing how. ``skipped`` are scheduled calls that were
    due when the run ended and never started.
    """

    seconds: dict[int, Second] = field(default_factory=dict)
    sold: Counter[str] = field(default_factory=Counter)
    open_orders: int = 0
    skipped: int = 0


class Recorder:
    """Counts calls by the second in which they ended."""

    def __init__(self) -> None:
        self._delta = Delta()
        self._cpu_s = time.process_time()

    def add(self, key: Key, ended: float, elapsed_us: int, error: str, source: str) -> None:
        """Count a call that ended at the Unix time ``ended``; ``error`` is its status if not OK."""
        second = self._second(ended)
        calls = second.calls.get(key)
        if calls is None:
            calls = second.calls[key] = Calls()
        calls.latencies_us[rounded(elapsed_us)] += 1
        if error:
            calls.errors[error] += 1
        if source:
            calls.sources[source] += 1

    def started(self, at: float, delay_s: float, *, unattended: bool) -> None:
        """Count a scheduled call that started at the Unix time ``at``, so long after it was due."""
        self._second(at).punctuality.add(delay_s, unattended=unattended)

    def skipped(self, count: int) -> None:
        """Count scheduled calls that were due when the run ended and never started."""
        self._delta.skipped += count

    def sold(self, product_id: str, pieces: int) -> None:
        """Count pieces that were sold, or with a negative number given back."""
        self._delta.sold[product_id] += pieces

    def left_open(self) -> None:
        """Count a checkout of which nobody knows how it ended."""
        self._delta.open_orders += 1

    def drain(self) -> dict[str, Any]:
        """Return what was measured since the last time, for ``unpacked``, and begin anew."""
        cpu_s = time.process_time()
        self._second(time.time()).cpu_s += cpu_s - self._cpu_s
        delta, self._delta, self._cpu_s = self._delta, Delta(), cpu_s
        return _packed(delta)

    def _second(self, at: float) -> Second:
        number = int(at)
        second = self._delta.seconds.get(number)
        if second is None:
            second = self._delta.seconds[number] = Second()
        return second


def rounded(us: int) -> int:
    """Return a latency within 1 us and 60 s, rounded down to 14 significant bits."""
    us = min(max(us, 1), LONGEST_US)
    surplus = max(us.bit_length() - _EXACT_BITS, 0)
    return us >> surplus << surplus


def _packed(delta: Delta) -> dict[str, Any]:
    return {
        "seconds": [_packed_second(number, second) for number, second in delta.seconds.items()],
        "sold": dict(delta.sold),
        "open_orders": delta.open_orders,
        "skipped": delta.skipped,
    }


def _packed_second(number: int, second: Second) -> dict[str, Any]:
    kept = second.punctuality
    return {
        "second": number,
        "cpu_s": second.cpu_s,
        "kept": [kept.started, kept.late, kept.unattended, kept.worst_s],
        "calls": [
            [
                *key,
                list(calls.latencies_us),
                list(calls.latencies_us.values()),
                dict(calls.errors),
                dict(calls.sources),
            ]
            for key, calls in second.calls.items()
        ],
    }


def unpacked(data: dict[str, Any]) -> Delta:
    """Return what ``Recorder.drain`` has packed."""
    return Delta(
        dict(_unpacked_seconds(data)), Counter(data["sold"]), data["open_orders"], data["skipped"]
    )


def _unpacked_seconds(data: dict[str, Any]) -> Iterator[tuple[int, Second]]:
    for packed in data["seconds"]:
        calls = {
            (method, arm): Calls(
                Counter(dict(zip(values, counts, strict=True))), Counter(errors), Counter(sources)
            )
            for method, arm, values, counts, errors, sources in packed["calls"]
        }
        yield packed["second"], Second(calls, Punctuality(*packed["kept"]), packed["cpu_s"])
