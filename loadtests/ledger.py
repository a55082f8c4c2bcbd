"""What all generating processes together have measured, in bounded memory."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from loadtests.arrivals import Punctuality
from loadtests.recorder import Calls, Delta, Key
from loadtests.results import Moment

_MOST_BLOCKS: Final = 128
_REPORTED_WITHIN_S: Final = 120


@dataclass(slots=True)
class Total:
    """All calls of one key: what they came to, and their latencies by stretches of time."""

    errors: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    blocks: dict[int, Counter[int]] = field(default_factory=dict)

    @property
    def latencies_us(self) -> Counter[int]:
        """How often each latency was measured."""
        return sum(self.blocks.values(), Counter())

    @property
    def count(self) -> int:
        """How many calls there were, failed ones included."""
        return sum(block.total() for block in self.blocks.values())


@dataclass(slots=True)
class Window:
    """Which seconds of the clock on the wall are measured: from ``begin`` to before ``end``."""

    begin: int = 0
    end: int = 2**63

    def __contains__(self, second: object) -> bool:
        """Whether a second is measured."""
        return isinstance(second, int) and self.begin <= second < self.end


class Ledger:
    """Adds up what is reported of the seconds within the window, and forgets the others.

    ``sold``, ``open_orders`` and ``skipped`` are of the whole run: stock has no warm-up.
    """

    def __init__(self, window: Window) -> None:
        self.window = window
        self.totals: dict[Key, Total] = {}
        self.punctuality = Punctuality()
        self.skipped = 0
        self.cpu_s = 0.0
        self.sold: Counter[str] = Counter()
        self.open_orders = 0
        self._users: dict[int, int] = {}
        self._seconds: dict[tuple[int, Key], Calls] = {}
        self._moments: dict[tuple[int, Key], Moment] = {}
        self._block_s = 1
        self._newest = 0

    def add(self, delta: Delta) -> None:
        """Count what one process has measured since it last reported."""
        self.sold.update(delta.sold)
        self.open_orders += delta.open_orders
        self.skipped += delta.skipped
        for number, second in delta.seconds.items():
            if number not in self.window:
                continue
            self._newest = max(self._newest, number)
            self.punctuality.merge(second.punctuality)
            self.cpu_s += second.cpu_s
            for key, calls in second.calls.items():
                self._add_calls(number, key, calls)
        self._fold(self._newest - _REPORTED_WITHIN_S)

    def note_users(self, second: int, users: int) -> None:
        """Remember how many users there were in a second."""
        self._users[second] = users

    def latest(self, seconds: int) -> Counter[int]:
        """Return the latencies of all calls of the last full seconds."""
        return self.between(self._newest - seconds, self._newest)

    def between(self, first: int, end: int) -> Counter[int]:
        """Return the latencies of all calls from one recent second to before another."""
        found: Counter[int] = Counter()
        for (number, _), calls in self._seconds.items():
            if first <= number < end:
                found.update(calls.latencies_us)
        return found

    def recent_sources(self, seconds: int) -> list[tuple[int, Counter[str]]]:
        """Return what ``x-cache`` said in each of the last seconds that had calls, in order."""
        found: dict[int, Counter[str]] = {}
        for (number, _), calls in self._seconds.items():
            if number > self._newest - seconds:
                found.setdefault(number, Counter()).update(calls.sources)
        return sorted(found.items())

    def blocks(self, key: Key) -> list[Counter[int]]:
        """Return the latencies of a key by stretches of time, the same stretches for every key."""
        last = max((number for total in self.totals.values() for number in total.blocks), default=0)
        total = self.totals.get(key, Total())
        return [total.blocks.get(number, Counter()) for number in range(last + 1)]

    def timeline(self) -> list[Moment]:
        """Return every second with calls, in order."""
        self._fold(self._newest + 1)
        return [moment for _, moment in sorted(self._moments.items())]

    def _add_calls(self, number: int, key: Key, calls: Calls) -> None:
        second = self._seconds.setdefault((number, key), Calls())
        second.latencies_us.update(calls.latencies_us)
        second.errors.update(calls.errors)
        second.sources.update(calls.sources)
        total = self.totals.setdefault(key, Total())
        total.errors.update(calls.errors)
        total.sources.update(calls.sources)
        while (number - self.window.begin) // self._block_s >= _MOST_BLOCKS:
            self._widen_blocks()
        place = (number - self.window.begin) // self._block_s
        total.blocks.setdefault(place, Counter()).update(calls.latencies_us)

    def _widen_blocks(self) -> None:
        self._block_s *= 2
        for total in self.totals.values():
            wider: dict[int, Counter[int]] = {}
            for place, counts in total.blocks.items():
                wider.setdefault(place // 2, Counter()).update(counts)
            total.blocks = wider

    def _fold(self, before: int) -> None:
        """Keep of older seconds only what the timeline shows of them."""
        for number, key in [which for which in self._seconds if which[0] < before]:
            calls = self._seconds.pop((number, key))
            moment = _moment(number - self.window.begin, key, calls, self._users.get(number, 0))
            known = self._moments.get((number, key))
            self._moments[number, key] = moment if known is None else _joined(known, moment)


def _moment(at_s: int, key: Key, calls: Calls, users: int) -> Moment:
    method, arm = key
    return Moment(
        at_s=float(at_s),
        method=method,
        arm=arm,
        users=users,
        count=calls.latencies_us.total(),
        errors=calls.errors.total(),
        p50_ms=quantile_ms(calls.latencies_us, 0.5),
        p99_ms=quantile_ms(calls.latencies_us, 0.99),
    )


def _joined(known: Moment, late: Moment) -> Moment:
    """Count what was reported too late for its latencies to be seen beside the others."""
    return replace(known, count=known.count + late.count, errors=known.errors + late.errors)


def quantile_ms(latencies_us: Mapping[int, int], share: float) -> float | None:
    """Return the least latency in milliseconds that such a share does not exceed, if any."""
    left = share * sum(latencies_us.values())
    for latency in sorted(latencies_us):
        left -= latencies_us[latency]
        if left <= 0:
            return latency / 1_000
    return None
