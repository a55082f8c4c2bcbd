"""The JSON under a key: the key again, when the value was loaded, and the value or null."""

from typing import Any

import orjson


class UnreadableValueError(Exception):
    """What stands in Redis under a key is not the key's value."""


def seal(key: str, cached_ms: int, value: object) -> bytes:
    """Return what to store under a key. The time is in milliseconds since 1970."""
    raw = orjson.dumps({"key": key, "cached_ms": cached_ms, "value": value})
    return bytes(memoryview(raw))  # orjson leaves several times the room behind its result


def unseal(key: str, raw: bytes) -> tuple[int, Any]:
    """Return the time of loading, in milliseconds since 1970, and the value.

    Raises ``UnreadableValueError`` for what is not JSON of this kind, or belongs to another key.
    """
    try:
        content = orjson.loads(raw)
        owner, cached_ms, value = content["key"], content["cached_ms"], content["value"]
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableValueError(repr(error)) from None
    if owner != key:
        raise UnreadableValueError(f"it belongs to {owner!r}")
    if not isinstance(cached_ms, int):
        raise UnreadableValueError("cached_ms is not a number")
    return cached_ms, value
