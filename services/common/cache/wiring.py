"""Putting the parts of a cache together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final, Generic

from services.common.background import ended, unending
from services.common.batching import Batcher
from services.common.cache.adoption import Adoption
from services.common.cache.backstop import Backstop
from services.common.cache.breaker import Breaker, WriteOnlyBreaker
from services.common.cache.figures import CacheFigures
from services.common.cache.invalidation import Invalidations
from services.common.cache.link import InvalidationLink
from services.common.cache.lookup import Lookup
from services.common.cache.metrics import CacheMetrics
from services.common.cache.near import Near, NearOptions
from services.common.cache.read_through import Load, ReadThroughCache
from services.common.cache.shared import RedisValues
from services.common.cache.upkeep import Upkeep
from services.common.cache.watched import Changes, Watched
from services.common.instruments import NO_INSTRUMENTS, Instruments
from services.common.mongo import Mongo
from services.common.redis import open_redis
from services.common.redis.servers import RedisOptions, RedisServers
from services.common.snapshot import Value

_DRAIN_S: Final = 2.0


class CacheMode(StrEnum):
    """Where reads by id are answered from: MongoDB, Redis too, or this process's memory too.

    Redis is told of writes in any case: other processes may read from it.
    """

    OFF = "off"
    REDIS = "redis"
    NEAR = "near"


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """How values are cached, and where."""

    mode: CacheMode
    near: NearOptions
    redis: RedisOptions


@dataclass(frozen=True, slots=True)
class OpenCache(Generic[Value]):
    """A cache at work."""

    values: ReadThroughCache[Value]
    metrics: CacheMetrics
    redis: RedisServers
    answers: bool
    """Whether it may answer reads."""


@asynccontextmanager
async def open_cache(
    lookup: Lookup[Value],
    load: Load[Value],
    mongo: Mongo,
    changes: Changes,
    options: CacheOptions,
    instruments: Instruments = NO_INSTRUMENTS,
) -> AsyncIterator[OpenCache[Value]]:
    """Open the cache of one lookup, with what it does beside the calls, and close it at the end."""
    async with open_redis(options.redis) as redis:
        cache, upkeep, works = _assemble(
            instruments.redis(redis), lookup, load, mongo, changes, options, instruments.batcher
        )
        await upkeep.begin()
        tasks = [asyncio.create_task(work()) for work in works]
        try:
            yield cache
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_S):
                    await cache.values.drain()
            await ended(tasks)


def _assemble(
    redis: RedisServers,
    lookup: Lookup[Value],
    load: Load[Value],
    mongo: Mongo,
    changes: Changes,
    options: CacheOptions,
    batcher: type[Batcher[Any, Any]],
) -> tuple[OpenCache[Value], Upkeep, Sequence[Callable[[], Coroutine[Any, Any, None]]]]:
    """Return a cache, its upkeep, which has to begin first, and what has to run beside it."""
    timeout_s = options.redis.timeout_s
    figures = CacheFigures()
    shared = RedisValues(redis, lookup)
    near: Near[Value] = Near(options.near)
    kind = WriteOnlyBreaker if options.mode is CacheMode.OFF else Breaker
    breaker = kind(on_open=near.drop)
    invalidations = Invalidations(shared, breaker, figures, timeout_s, batcher)
    watched = {changes.collection: Watched.of(changes, invalidations.deliver)}
    backstop = Backstop(mongo, watched, invalidations.deliver_all)
    adoption = Adoption(redis, lookup)
    upkeep = Upkeep(
        redis, shared, breaker, invalidations, adoption, timeout_s, backstop.request_rewind
    )
    works: dict[str, Callable[[], Awaitable[object]]] = {
        "cache upkeep": upkeep.run,
        "cache backstop": backstop.run,
    }
    if options.mode is CacheMode.NEAR:
        link = InvalidationLink(redis, near, breaker, lookup.prefix, options.near.lease_s, figures)
        works["invalidation link"] = link.run

    def ended_early() -> None:
        figures.restarts += 1
        breaker.open()  # nothing is read from what nobody may look after

    metrics = CacheMetrics(
        lookup.prefix,
        figures,
        breaker,
        near,
        invalidations,
        backstop.figures,
        near_used=options.mode is CacheMode.NEAR,
    )
    values = ReadThroughCache(
        lookup, load, shared, near, breaker, invalidations, figures, timeout_s, batcher
    )
    opened = OpenCache(values, metrics, redis, answers=options.mode is not CacheMode.OFF)
    kept_up = [partial(unending, name, work, ended_early) for name, work in works.items()]
    return opened, upkeep, kept_up
