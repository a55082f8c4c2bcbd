"""Caches without a backstop, whose parts can be looked at, and reads as calls make them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import pytest

from services.common.cache import read_through
from services.common.cache import shared as leases
from services.common.cache.adoption import Adoption
from services.common.cache.backstop import BackstopFigures
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
from services.common.cache.wiring import CacheMode
from services.common.call import Call, enter_call
from services.common.freshness import Freshness, Source
from services.common.redis.servers import RedisServers
from tests.integration.patience import PATIENT_S, until

NEAR: Final = NearOptions(entries=10_000, bytes=64 * 1024 * 1024, lease_s=PATIENT_S)

Value = TypeVar("Value")


@dataclass(frozen=True)
class Opened(Generic[Value]):
    """A cache at work and its parts."""

    values: ReadThroughCache[Value]
    shared: RedisValues
    near: Near[Value]
    breaker: Breaker
    invalidations: Invalidations
    figures: CacheFigures
    metrics: CacheMetrics

    async def until_near(self) -> None:
        """Wait until what is near may be served."""
        await until(lambda: self.near.valid_until > 0)


@asynccontextmanager
async def opened_cache(
    redis: RedisServers,
    lookup: Lookup[Value],
    load: Load[Value],
    mode: CacheMode = CacheMode.NEAR,
    near_options: NearOptions = NEAR,
    timeout_s: float = PATIENT_S,
    *,
    upkeep: bool = True,
) -> AsyncIterator[Opened[Value]]:
    """Open a cache, of great patience unless told otherwise: machines are busy."""
    figures, near = CacheFigures(), Near[Value](near_options)
    shared = RedisValues(redis, lookup)
    breaker = Breaker(on_open=near.drop)
    invalidations = Invalidations(shared, breaker, figures, timeout_s)
    works = list[Coroutine[Any, Any, None]]()
    if upkeep:
        adoption = Adoption(redis, lookup)
        kept = Upkeep(redis, shared, breaker, invalidations, adoption, timeout_s, lambda: None)
        await kept.begin()
        works.append(kept.run())
    if mode is CacheMode.NEAR:
        lease_s = near_options.lease_s
        link = InvalidationLink(redis, near, breaker, lookup.prefix, lease_s, figures)
        works.append(link.run())
    values = ReadThroughCache(
        lookup, load, shared, near, breaker, invalidations, figures, timeout_s
    )
    metrics = CacheMetrics(
        lookup.prefix,
        figures,
        breaker,
        near,
        invalidations,
        BackstopFigures(),
        near_used=mode is CacheMode.NEAR,
    )
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield Opened(values, shared, near, breaker, invalidations, figures, metrics)
    finally:
        await values.drain()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def granting_leases_for(seconds: float, patch: pytest.MonkeyPatch) -> None:
    """Let whoever loads a value have so long until another may load it too."""
    for module in (leases, read_through):
        patch.setattr(module, "LEASE_S", seconds)


async def told(
    read: Callable[[], Awaitable[Value]], freshness: Freshness = Freshness.NEAR
) -> tuple[Value, Source | None]:
    """Return what a call reads, and what answered it."""
    call = Call("test")
    call.freshness = freshness

    async def served() -> Value:
        enter_call(call)
        return await read()

    return await asyncio.create_task(served()), call.source
