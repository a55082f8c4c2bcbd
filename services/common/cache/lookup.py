"""What is cached: one declaration per kind of value."""

from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import Any, Final, Generic

from services.common.cache.envelope import UnreadableValueError, seal, unseal
from services.common.snapshot import Shown, Snapshot, Value

TTL_S: Final = 300
ABSENT_TTL_S: Final = 30
_OVERHEAD_BYTES: Final = 480  # of an entry's objects, measured


class Entry(Generic[Value]):
    """A value as it is cached, or that there is none (``snapshot`` is None).

    ``raw`` is its form in Redis, ``cached_ms`` the time of its loading in milliseconds since 1970.
    """

    __slots__ = ("cached_ms", "raw", "snapshot")

    def __init__(self, raw: bytes, cached_ms: int, snapshot: Snapshot[Value] | None) -> None:
        self.raw = raw
        self.cached_ms = cached_ms
        self.snapshot = snapshot

    @property
    def ttl_s(self) -> int:
        """How long it may stay, from its loading on."""
        return ABSENT_TTL_S if self.snapshot is None else TTL_S

    @property
    def age_ms(self) -> int:
        """How long ago it was loaded, by the clocks of two machines."""
        age_ms = int(time() * 1000) - self.cached_ms
        return age_ms if age_ms > 0 else 0  # noqa: FURB136 (max() takes longer than all the rest)

    @property
    def size_bytes(self) -> int:
        """The most memory that it takes: what is shown of it is no longer than its JSON."""
        return 2 * len(self.raw) + _OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class Lookup(Generic[Value]):
    """How one kind of value is cached: the prefix of its keys, and its JSON form.

    ``encode`` returns what orjson writes; ``decode`` reads that back, and raises KeyError,
    TypeError or ValueError for anything else.
    """

    prefix: str
    encode: Callable[[Value], object]
    decode: Callable[[Any], Value]

    def key(self, value_id: str) -> str:
        """Return the Redis key of a value."""
        return f"{self.prefix}:{value_id}"

    def lease_key(self, value_id: str) -> str:
        """Return the key of the right to fill a value, which Redis Cluster keeps beside it."""
        return f"{{{self.prefix}:{value_id}}}:lease"

    def entry(self, value_id: str, snapshot: Snapshot[Value] | None) -> Entry[Value]:
        """Return what was loaded just now as it is to be cached."""
        cached_ms = int(time() * 1000)
        if snapshot is None:
            return Entry(seal(self.key(value_id), cached_ms, None), cached_ms, None)
        raw = seal(self.key(value_id), cached_ms, self.encode(snapshot.value))
        return Entry(raw, cached_ms, self._kept(value_id, snapshot.value, raw))

    def read(self, value_id: str, raw: bytes) -> Entry[Value]:
        """Return what stands in Redis. Raises ``UnreadableValueError``."""
        cached_ms, fields = unseal(self.key(value_id), raw)
        if fields is None:
            return Entry(raw, cached_ms, None)
        try:
            value = self.decode(fields)
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableValueError(repr(error)) from None
        return Entry(raw, cached_ms, self._kept(value_id, value, raw))

    def _kept(self, value_id: str, value: Value, raw: bytes) -> Snapshot[Value]:
        return _Kept(value, self, value_id, raw)


class _Kept(Snapshot[Value]):
    """A value that is taken from its JSON again should it be needed again.

    What stays in memory for long is what was shown of it.
    """

    __slots__ = ("_id", "_lookup", "_raw")

    def __init__(self, value: Value, lookup: Lookup[Value], value_id: str, raw: bytes) -> None:
        super().__init__(value)
        self._lookup = lookup
        self._id = value_id
        self._raw = raw

    @property
    def value(self) -> Value:
        if self._value is not None:
            return self._value
        return self._lookup.decode(unseal(self._lookup.key(self._id), self._raw)[1])

    def shown(self, make: Callable[[Value], Shown]) -> Shown:
        shown = super().shown(make)
        self._value = None
        return shown
