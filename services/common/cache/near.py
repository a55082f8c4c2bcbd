"""Entries in the memory of this process.

Which entry goes when there is no room is decided by second chance (F. J. Corbató, *A Paging
Experiment with the Multics System*, 1968): the oldest, unless it was asked for since it came or
was last passed over. It finds about what LRU finds, and a hit changes nothing but a flag.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Generic

from services.common.cache.lookup import Entry
from services.common.snapshot import Value


@dataclass(frozen=True, slots=True)
class NearOptions:
    """How much there may be, and for how long one proof holds that no invalidation is missing."""

    entries: int
    bytes: int
    lease_s: float


class _Place(Generic[Value]):
    __slots__ = ("asked_for", "entry", "expires")

    def __init__(self, entry: Entry[Value], expires: float) -> None:
        self.entry = entry
        self.expires = expires
        self.asked_for = False


class Flight:
    """A read of Redis under way, and what was invalidated meanwhile: that it must not bring in."""

    __slots__ = ("doubtful", "forgotten")

    def __init__(self) -> None:
        self.forgotten: set[str] = set()
        self.doubtful = False


class Near(Generic[Value]):
    """A bounded map from ids to entries.

    It answers only until ``valid_until``, in seconds of the monotonic clock, which somebody who
    hears all invalidations must move on; and takes nothing in while it is ``closed``.
    """

    def __init__(self, options: NearOptions) -> None:
        self._options = options
        self._places: OrderedDict[str, _Place[Value]] = OrderedDict()
        self._flights: list[Flight] = []
        self.bytes = 0
        self.valid_until = 0.0
        self.closed = True
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._places)

    @property
    def proven(self) -> bool:
        """Whether it answers: that no invalidation is missing is proven for this moment."""
        return monotonic() < self.valid_until

    def get(self, value_id: str) -> Entry[Value] | None:
        """Return the entry, if it is there and as good as promised."""
        place = self._places.get(value_id)
        if place is None:
            return None
        now = monotonic()
        if now >= self.valid_until:
            return None
        if now >= place.expires:
            self._remove(value_id)
            return None
        place.asked_for = True
        return place.entry

    def known(self, value_id: str, raw: bytes) -> Entry[Value] | None:
        """Return the entry, if this is its form in Redis: it need not be read again."""
        place = self._places.get(value_id)
        if place is None or place.entry.raw != raw or monotonic() >= place.expires:
            return None
        return place.entry

    @contextmanager
    def flight(self) -> Iterator[Flight]:
        """Watch what is invalidated during a read of Redis."""
        flight = Flight()
        self._flights.append(flight)
        try:
            yield flight
        finally:
            self._flights.remove(flight)

    def bring(self, flight: Flight, entries: Mapping[str, Entry[Value]]) -> None:
        """Take in what a flight brought, except what was invalidated meanwhile."""
        if self.closed or flight.doubtful:
            return
        for value_id, entry in entries.items():
            if value_id not in flight.forgotten:
                self._put(value_id, entry)

    def forget(self, value_ids: Collection[str]) -> None:
        """Drop entries, and do not take them in from the flights under way."""
        for value_id in value_ids:
            if value_id in self._places:
                self._remove(value_id)
        for flight in self._flights:
            flight.forgotten.update(value_ids)

    def drop(self) -> None:
        """Drop everything, and take in nothing from the flights under way."""
        self._places.clear()
        self.bytes = 0
        self.valid_until = 0.0
        for flight in self._flights:
            flight.doubtful = True

    def _put(self, value_id: str, entry: Entry[Value]) -> None:
        place = self._places.get(value_id)
        if place is not None:
            if place.entry is entry:
                return
            self._remove(value_id)
        size = entry.size_bytes + len(value_id)
        if size > self._options.bytes:
            return
        left_s = entry.ttl_s - entry.age_ms / 1000
        self._places[value_id] = _Place(entry, monotonic() + left_s)
        self.bytes += size
        while len(self._places) > self._options.entries or self.bytes > self._options.bytes:
            self._evict()

    def _evict(self) -> None:
        while True:
            value_id, place = next(iter(self._places.items()))
            if not place.asked_for:
                self._remove(value_id)
                self.evicted += 1
                return
            place.asked_for = False
            self._places.move_to_end(value_id)

    def _remove(self, value_id: str) -> None:
        place = self._places.pop(value_id)
        self.bytes -= place.entry.size_bytes + len(value_id)
