"""Places in the queue of the concurrency limit are not lost, however those who wait give up."""

import asyncio
import time
from typing import Any

import pytest

from services.common.rpc.adaptive_limit import AdaptiveLimit
from services.common.rpc.interceptors.concurrency_limit import (
    ConcurrencyLimitInterceptor,
    Overloaded,
)
from services.common.rpc.load_gauge import LoadGauge
from services.common.rpc.methods import Context
from tests.unit.common.fakes import FakeContext

QUEUE_TIMEOUT_S = 0.01


async def test_who_gives_up_in_the_moment_a_place_gets_free_takes_none_with_them() -> None:
    limiter = ConcurrencyLimitInterceptor(AdaptiveLimit(1, 1, 1), LoadGauge(), 8, QUEUE_TIMEOUT_S)
    free = asyncio.Event()

    async def occupied(request: Any, context: Context) -> str:
        await free.wait()
        return "done"

    method = limiter.bind(occupied, "/shop.Test/Do")

    async def call() -> str:
        answer: str = await method("request", FakeContext().context)
        return answer

    first = asyncio.create_task(call())
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(call()) for _ in range(3)]
    await asyncio.sleep(0)
    free.set()
    time.sleep(2 * QUEUE_TIMEOUT_S)  # noqa: ASYNC251 (what is due then comes all at once)

    ends = await asyncio.gather(first, *waiting, return_exceptions=True)

    assert all(end == "done" or isinstance(end, Overloaded) for end in ends), ends
    assert (limiter.in_flight, limiter.queued) == (0, 0)
    assert await call() == "done"


async def test_who_is_cancelled_while_waiting_leaves_the_queue() -> None:
    limiter = ConcurrencyLimitInterceptor(AdaptiveLimit(1, 1, 1), LoadGauge(), 8, 5.0)
    free = asyncio.Event()

    async def occupied(request: Any, context: Context) -> None:
        await free.wait()

    method = limiter.bind(occupied, "/shop.Test/Do")
    calls = [asyncio.ensure_future(method("r", FakeContext().context)) for _ in range(4)]
    await asyncio.sleep(0)
    free.set()
    for waiting in calls[1:]:
        waiting.cancel()  # in the same turn of the loop as the place gets free

    ends = await asyncio.gather(*calls, return_exceptions=True)

    assert ends[0] is None
    assert all(isinstance(end, asyncio.CancelledError) for end in ends[1:])
    assert (limiter.in_flight, limiter.queued) == (0, 0)


@pytest.mark.parametrize("refused", [1, 3])
async def test_a_full_queue_refuses_at_once(refused: int) -> None:
    limiter = ConcurrencyLimitInterceptor(AdaptiveLimit(1, 1, 1), LoadGauge(), 0, 5.0)

    async def endless(request: Any, context: Context) -> None:
        await asyncio.Event().wait()

    method = limiter.bind(endless, "/shop.Test/Do")
    busy = asyncio.ensure_future(method("r", FakeContext().context))
    await asyncio.sleep(0)
    for _ in range(refused):
        with pytest.raises(Overloaded):
            await method("r", FakeContext().context)
    assert limiter.refused == refused
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
