"""What is cached: one declaration per kind of value."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import time
from typing import Final, Generic

from msgspec.json import Decoder

from services.common.cache.envelope import Envelope, UnreadableValueError, seal
from services.common.snapshot import Shown, Snapshot, Value

TTL_S: Final = 300
ABSENT_TTL_S: Final = 30
_CLOCKS_DIFFER_MS: Final = 60_000
_MAX_INT64: Final = 2**63 - 1
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

    orjson writes a value of ``kind`` as JSON, a dataclass as an object of its fields. Back from
    Redis, each field must have its type. Fields of a later release are left out, and those that an
    earlier one did not have take their defaults. ``valid`` tells, of a value that has its types,
    whether it belongs to an id and fits into a message.
    """

    prefix: str
    kind: type[Value]
    valid: Callable[[str, Value], bool] = lambda _value_id, _value: True
    _decoder: Decoder[Envelope[Value]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare to read values."""
        object.__setattr__(self, "_decoder", Decoder(Envelope[self.kind]))  # type: ignore[name-defined]

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
        raw = seal(self.key(value_id), cached_ms, snapshot.value)
        return Entry(raw, cached_ms, self._kept(snapshot.value, raw))

    def read(self, value_id: str, raw: bytes) -> Entry[Value]:
        """Return what stands in Redis. Raises ``UnreadableValueError``."""
        try:
            envelope = self._decoder.decode(raw)
        except (ValueError, RecursionError) as error:
            raise UnreadableValueError(str(error)) from None
        if envelope.key != self.key(value_id):
            raise UnreadableValueError("it belongs to another key")
        value = envelope.value
        if value is not None and not self.valid(value_id, value):
            raise UnreadableValueError("its id is another, or a field is out of range")
        snapshot = None if value is None else self._kept(value, raw)
        entry = Entry(raw, envelope.cached_ms, snapshot)
        age_ms = int(time() * 1000) - entry.cached_ms
        if not -_CLOCKS_DIFFER_MS <= age_ms <= entry.ttl_s * 1000 + _CLOCKS_DIFFER_MS:
            raise UnreadableValueError("it cannot have been loaded when it says")
        return entry

    def again(self, raw: bytes) -> Value:
        """Return the value in what ``entry`` or ``read`` has made an entry of."""
        value = self._decoder.decode(raw).value
        assert value is not None  # noqa: S101 (of a value that does not exist nothing is kept)
        return value

    def _kept(self, value: Value, raw: bytes) -> Snapshot[Value]:
        return _Kept(value, self, raw)


class _Kept(Snapshot[Value]):
    """A value that is taken from its JSON again should it be needed again.

    What stays in memory for long is what was shown of it.
    """

    __slots__ = ("_lookup", "_raw")

    def __init__(self, value: Value, lookup: Lookup[Value], raw: bytes) -> None:
        super().__init__(value)
        self._lookup = lookup
        self._raw = raw

    @property
    def value(self) -> Value:
        if self._value is not None:
            return self._value
        return self._lookup.again(self._raw)

    def shown(self, make: Callable[[Value], Shown]) -> Shown:
        shown = super().shown(make)
        self._value = None
        return shown


def are_counts(*numbers: int) -> bool:
    """Whether none is negative and a message can carry all of them (int64)."""
    return min(numbers) >= 0 and max(numbers) <= _MAX_INT64


def are_in_utc(*moments: datetime) -> bool:
    """Whether the moments are in UTC, as what MongoDB has is read."""
    return all(moment.tzinfo is UTC for moment in moments)
