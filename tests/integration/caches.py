"""Caches as services open them, and reads as calls make them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeVar

from services.common.cache.lookup import Lookup
from services.common.cache.metrics import CacheMetrics
from services.common.cache.near import NearOptions
from services.common.cache.read_through import Load, ReadThroughCache
from services.common.cache.wiring import CacheMode, CacheOptions, open_cache
from services.common.call import Call, enter_call
from services.common.freshness import Freshness, Source
from services.common.redis import RedisServers

PATIENT_S: Final = 10.0
NEAR: Final = NearOptions(entries=10_000, bytes=64 * 1024 * 1024, lease_s=PATIENT_S)

Value = TypeVar("Value")


def opened_cache(
    redis: RedisServers,
    lookup: Lookup[Value],
    load: Load[Value],
    mode: CacheMode = CacheMode.NEAR,
    metrics: CacheMetrics | None = None,
    *,
    near: NearOptions = NEAR,
    timeout_s: float = PATIENT_S,
) -> AbstractAsyncContextManager[ReadThroughCache[Value]]:
    """Open a cache that a busy machine does not make fail."""
    options = CacheOptions(mode, near, timeout_s)
    return open_cache(redis, lookup, load, options, metrics or CacheMetrics())


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


async def until(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until something holds that other processes, or tasks, bring about."""
    async with asyncio.timeout(30):
        while True:
            answer = holds()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.01)
