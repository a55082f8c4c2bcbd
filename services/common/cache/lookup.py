"""A read-through cache in Redis.

A value is stored under ``<prefix>:<id>`` as JSON, for 300 seconds. Redis is optional at run
time: when it does not answer, reads load from the store of record.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

TTL_S: Final = 300

Value = TypeVar("Value")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Lookup(Generic[Value]):
    """How one kind of value is cached: its key prefix and its JSON form.

    ``identify`` returns the id that a value belongs to; a cached value that belongs to
    another id is never returned.
    """

    prefix: str
    encode: Callable[[Value], object]
    decode: Callable[[Any], Value]
    identify: Callable[[Value], str]

    def key(self, value_id: str) -> str:
        """Return the Redis key of a value."""
        return f"{self.prefix}:{value_id}"


class ReadThroughCache(Generic[Value]):
    """One kind of value, read from Redis and loaded from the store of record on a miss."""

    def __init__(self, redis: Redis, lookup: Lookup[Value]) -> None:
        self._redis = redis
        self._lookup = lookup

    async def get(self, value_id: str, load: Callable[[str], Awaitable[Value]]) -> Value:
        """Return the value; on a miss, load it and keep it. Errors of ``load`` pass through."""
        cached = await self._read([value_id])
        if value_id in cached:
            return cached[value_id]
        value = await load(value_id)
        await self._write([value])
        return value

    async def get_many(
        self,
        value_ids: Sequence[str],
        load: Callable[[Sequence[str]], Awaitable[Sequence[Value]]],
    ) -> list[Value]:
        """Return the values that exist, in the order asked for, loading all misses at once."""
        found = await self._read(value_ids)
        missing = [value_id for value_id in value_ids if value_id not in found]
        if missing:
            loaded = await load(missing)
            await self._write(loaded)
            found.update((self._lookup.identify(value), value) for value in loaded)
        return [found[value_id] for value_id in value_ids if value_id in found]

    async def invalidate(self, value_ids: Iterable[str]) -> None:
        """Forget the values: to be called after every write that changes what they show.

        When Redis does not answer, an old value lives on until its time is over.
        """
        keys = [self._lookup.key(value_id) for value_id in value_ids]
        if not keys:
            return
        try:
            await self._redis.delete(*keys)
        except (RedisError, OSError) as error:
            log.warning("cache invalidation lost", keys=keys, error=repr(error))

    async def _read(self, value_ids: Sequence[str]) -> dict[str, Value]:
        try:
            raws = await self._redis.mget([self._lookup.key(value_id) for value_id in value_ids])
        except (RedisError, OSError) as error:
            log.warning("cache read failed", lookup=self._lookup.prefix, error=repr(error))
            return {}
        found: dict[str, Value] = {}
        for value_id, raw in zip(value_ids, raws, strict=True):
            if raw is not None and (value := self._decode(value_id, raw)) is not None:
                found[value_id] = value
        return found

    def _decode(self, value_id: str, raw: bytes | str) -> Value | None:
        try:
            value = self._lookup.decode(orjson.loads(raw))
        except (ValueError, KeyError, TypeError) as error:
            log.warning(
                "cached value unreadable", key=self._lookup.key(value_id), error=repr(error)
            )
            return None
        return value if self._lookup.identify(value) == value_id else None

    async def _write(self, values: Sequence[Value]) -> None:
        fills: Mapping[str, bytes] = {
            self._lookup.key(self._lookup.identify(value)): orjson.dumps(self._lookup.encode(value))
            for value in values
        }
        if not fills:
            return
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for key, raw in fills.items():
                    pipeline.set(key, raw, ex=TTL_S)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            log.warning("cache fill failed", lookup=self._lookup.prefix, error=repr(error))
