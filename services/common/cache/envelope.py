"""What stands in Redis under a key: the key itself, the time of loading, and the value, in JSON."""

from typing import Generic

import msgspec
import orjson

from services.common.snapshot import Value


class UnreadableValueError(Exception):
    """What stands in Redis under a key is not the key's value."""


class Envelope(msgspec.Struct, Generic[Value], frozen=True, gc=False):
    """A value, or None for one that does not exist, with what it belongs to.

    The time is in milliseconds since 1970.
    """

    key: str
    cached_ms: int
    value: Value | None


def seal(key: str, cached_ms: int, value: object) -> bytes:
    """Return what to store under a key."""
    raw = orjson.dumps({"key": key, "cached_ms": cached_ms, "value": value})
    return bytes(memoryview(raw))  # orjson leaves several times the room behind its result
