import asyncio
from typing import Any, cast

import pytest

from services.common.rpc.interceptors import drain as drain_module
from services.common.rpc.interceptors.drain import DrainInterceptor, ShuttingDown
from services.common.rpc.methods import Context, Method
from tests.patience import PATIENCE_S, until

CONTEXT = cast("Context", None)


async def echo(request: Any, _context: Context) -> Any:
    return request


def bound(drain: DrainInterceptor) -> Method:
    return drain.bind(cast("Method", echo), "/shop/Echo")


async def test_calls_pass_until_it_is_closed() -> None:
    assert await bound(DrainInterceptor())("asked", CONTEXT) == "asked"


async def test_a_later_call_is_refused_when_the_connections_are_about_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drain_module, "_LONGEST_S", 60.0)
    drain = DrainInterceptor()
    drain.closed = True
    call = asyncio.ensure_future(bound(drain)("asked", CONTEXT))
    await until(lambda: drain.kept == 1)
    assert not call.done()
    drain.refuse_kept_calls()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ShuttingDown):
            await call
    assert drain.kept == 0
    with pytest.raises(ShuttingDown):
        await bound(drain)("asked", CONTEXT)


async def test_it_is_not_kept_for_long_though_calls_before_it_take_their_time() -> None:
    drain = DrainInterceptor()
    drain.closed = True
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ShuttingDown):
            await bound(drain)("asked", CONTEXT)


async def test_whoever_goes_away_is_not_kept() -> None:
    drain = DrainInterceptor()
    drain.closed = True
    call = asyncio.ensure_future(bound(drain)("asked", CONTEXT))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert drain.kept == 0
