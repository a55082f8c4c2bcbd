"""Putting the parts of a cache together."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from services.common.cache.breaker import Breaker
from services.common.cache.figures import CacheFigures
from services.common.cache.invalidation import Invalidations
from services.common.cache.link import InvalidationLink
from services.common.cache.lookup import Lookup
from services.common.cache.metrics import CacheMetrics
from services.common.cache.near import Near, NearOptions
from services.common.cache.read_through import Load, ReadThroughCache
from services.common.cache.shared import RedisValues
from services.common.cache.upkeep import Upkeep
from services.common.redis import RedisServers
from services.common.snapshot import Value

_DRAIN_S: Final = 2.0


class CacheMode(StrEnum):
    """Where reads by id are answered from: MongoDB, Redis too, or this process's memory too."""

    OFF = "off"
    REDIS = "redis"
    NEAR = "near"


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """How values are cached. ``timeout_s`` bounds each round trip to Redis."""

    mode: CacheMode
    near: NearOptions
    timeout_s: float


@asynccontextmanager
async def open_cache(
    redis: RedisServers,
    lookup: Lookup[Value],
    load: Load[Value],
    options: CacheOptions,
    metrics: CacheMetrics,
) -> AsyncIterator[ReadThroughCache[Value]]:
    """Open the cache of one lookup, with what it does beside the calls, and close it at the end."""
    figures = CacheFigures()
    shared = RedisValues(redis, lookup)
    near: Near[Value] = Near(options.near)
    breaker = Breaker(on_open=near.drop)
    invalidations = Invalidations(shared, breaker, figures, options.timeout_s)
    cache = ReadThroughCache(
        lookup, load, shared, near, breaker, invalidations, figures, options.timeout_s
    )
    metrics.add(lookup.prefix, figures, breaker, near)
    works: list[Coroutine[Any, Any, None]] = [
        Upkeep(shared, breaker, invalidations, options.timeout_s).run()
    ]
    if options.mode is CacheMode.NEAR:
        link = InvalidationLink(redis, near, breaker, lookup.prefix, options.near.lease_s, figures)
        works.append(link.run())
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield cache
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await cache.drain()
