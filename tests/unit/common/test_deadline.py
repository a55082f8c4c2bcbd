import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from services.common.call import Call, current_call, enter_call
from services.common.errors import DeadlineExceeded
from services.common.rpc.interceptors.deadline import DEFAULT_MAX_S, DeadlineInterceptor
from services.common.rpc.methods import Context, Method
from tests.unit.common.fakes import FakeContext


async def allowed_s(request: Any, context: Context) -> float:
    deadline = current_call().deadline
    assert deadline is not None
    return deadline - asyncio.get_running_loop().time()


async def served(
    client_s: float | None, method: Method = allowed_s, max_s: Mapping[str, float] | None = None
) -> Any:
    async def in_call() -> Any:
        enter_call(Call("r"))
        return await DeadlineInterceptor(max_s or {}).intercept(
            method, "request", FakeContext(time_left_s=client_s).context, "/shop.Test/Do"
        )

    return await asyncio.create_task(in_call())


@pytest.mark.parametrize(
    ("client_s", "max_s", "expected_s"),
    [
        (None, {}, DEFAULT_MAX_S),
        (None, {"Do": 2.0}, 2.0),
        (None, {"Other": 2.0}, DEFAULT_MAX_S),
        (1.0, {"Do": 2.0}, 1.0),
        (3600.0, {"Do": 2.0}, 2.0),
    ],
    ids=["default", "own", "another's", "client's is shorter", "client's is longer"],
)
async def test_a_call_has_the_shorter_of_its_clients_time_and_its_methods(
    client_s: float | None, max_s: dict[str, float], expected_s: float
) -> None:
    assert expected_s - 0.5 < await served(client_s, max_s=max_s) <= expected_s


async def test_a_call_that_takes_longer_is_cancelled_and_refused() -> None:
    cancelled = asyncio.Event()

    async def endless(request: Any, context: Context) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(DeadlineExceeded):
        await served(None, endless, {"Do": 0.01})
    assert cancelled.is_set()


async def test_a_call_whose_client_waits_no_longer_does_no_work() -> None:
    with pytest.raises(DeadlineExceeded):
        await served(0.0, _sleep)


async def test_a_call_that_its_client_cancels_stays_cancelled() -> None:
    call = asyncio.create_task(served(None, _sleep))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def _sleep(request: Any, context: Context) -> None:
    await asyncio.sleep(60)
