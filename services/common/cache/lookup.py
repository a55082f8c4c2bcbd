"""A read-through cache in Redis.

A value is stored under ``<prefix>:<id>`` as JSON, for 300 seconds. Redis is optional at run
time: when it does not answer, reads load from the store of record.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.common.call import remaining_s
from services.common.errors import DomainError

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

    def __init__(self, redis: Redis, lookup: Lookup[Value], timeout_s: float = 0.2) -> None:
        self._redis = redis
        self._lookup = lookup
        self._timeout_s = timeout_s

    async def get(self, value_id: str, load: Callable[[str], Awaitable[Value]]) -> Value:
        """Return the value; on a miss, load it and keep it. Errors of ``load`` pass through."""
        cached = await self._read([value_id])
        if cached is not None and value_id in cached:
            return cached[value_id]
        value = await load(value_id)
        if cached is not None:
            await self._write([value])
        return value

    async def get_many(
        self,
        value_ids: Sequence[str],
        load: Callable[[Sequence[str]], Awaitable[Sequence[Value]]],
    ) -> list[Value]:
        """Return the values that exist, in the order asked for, loading all misses at once."""
        cached = await self._read(value_ids)
        found = cached or {}
        missing = [value_id for value_id in value_ids if value_id not in found]
        if missing:
            loaded = await load(missing)
            if cached is not None:
                await self._write(loaded)
            found.update((self._lookup.identify(value), value) for value in loaded)
        return [found[value_id] for value_id in value_ids if value_id in found]

    @asynccontextmanager
    async def forgetting(self, value_ids: Iterable[str]) -> AsyncIterator[None]:
        """Forget the values at the end of a block that changes what they show.

        Also when the block is cancelled or fails, unless it was refused: it may have written.
        """
        try:
            yield
        except DomainError:
            raise
        except BaseException:
            await self.invalidate(value_ids)
            raise
        await self.invalidate(value_ids)

    async def invalidate(self, value_ids: Iterable[str]) -> None:
        """Forget the values. When Redis does not answer, they live on until their time is over."""
        keys = [self._lookup.key(value_id) for value_id in value_ids]
        if not keys:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._redis.delete(*keys)
        except (RedisError, OSError) as error:
            log.warning("cache invalidation lost", keys=keys, error=repr(error))

    async def _read(self, value_ids: Sequence[str]) -> dict[str, Value] | None:
        """Return the values that are there; None when Redis does not answer in time."""
        keys = [self._lookup.key(value_id) for value_id in value_ids]
        try:
            async with asyncio.timeout(remaining_s(self._timeout_s)):
                raws = await self._redis.mget(keys)
        except (RedisError, OSError) as error:
            log.warning("cache read failed", lookup=self._lookup.prefix, error=repr(error))
            return None
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
            async with (
                asyncio.timeout(remaining_s(self._timeout_s)),
                self._redis.pipeline(transaction=False) as pipeline,
            ):
                for key, raw in fills.items():
                    pipeline.set(key, raw, ex=TTL_S)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            log.warning("cache fill failed", lookup=self._lookup.prefix, error=repr(error))
