import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from services.common.call import Call, current_call, enter_call
from services.common.errors import DeadlineExceeded
from services.common.rpc.interceptors.deadline import DEFAULT_MAX_S, DeadlineInterceptor
from services.common.rpc.methods import Context, Method
from services.common.rpc.watchdog import TICK_S
from tests.patience import until
from tests.unit.common.fakes import FakeContext


async def deadline(request: Any, context: Context) -> float | None:
    return current_call().deadline


async def served(
    client_s: float | None, method: Method = deadline, max_s: Mapping[str, float] | None = None
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
        (None, {"Do": 20.0}, 20.0),
        (None, {"Other": 20.0}, DEFAULT_MAX_S),
        (10.0, {"Do": 20.0}, 10.0),
        (3600.0, {"Do": 20.0}, 20.0),
    ],
    ids=["default", "own", "another's", "client's is shorter", "client's is longer"],
)
async def test_a_call_has_the_shorter_of_its_clients_time_and_its_methods(
    client_s: float | None, max_s: dict[str, float], expected_s: float
) -> None:
    before = time.monotonic()
    ends = await served(client_s, max_s=max_s)
    assert before + expected_s <= ends <= time.monotonic() + expected_s


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


async def test_a_call_that_its_client_cancels_as_its_time_is_over_stays_cancelled() -> None:
    inner: list[asyncio.Task[Any]] = []

    async def reluctant(request: Any, context: Context) -> None:
        inner.append(_this_task())
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await until(lambda: inner[0].cancelling() == 2)
        raise asyncio.CancelledError

    call = asyncio.create_task(served(None, reluctant, {"Do": 0.01}))
    await until(lambda: [task.cancelling() for task in inner] == [1])
    inner[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def test_a_call_that_ends_at_the_same_moment_is_answered_or_refused() -> None:
    """Never anything else, and with nothing left behind that could end the task later."""
    interceptor = DeadlineInterceptor({"Do": 0.03})

    async def call(n: int) -> str:
        async def work(request: Any, context: Context) -> str:
            await asyncio.sleep(0.03 + n * 0.0001)
            return "done"

        enter_call(Call("r"))
        context = FakeContext().context
        try:
            answer = await interceptor.intercept(work, "request", context, "/shop.Test/Do")
        except DeadlineExceeded:
            answer = "late"
        await asyncio.sleep(0.1)
        assert _this_task().cancelling() == 0
        return str(answer)

    answers = await asyncio.gather(*(asyncio.create_task(call(n)) for n in range(500)))
    assert set(answers) <= {"done", "late"}


async def test_calls_watched_together_end_each_at_its_own_time() -> None:
    interceptor = DeadlineInterceptor({"Do": 60.0})
    ended: list[int] = []

    async def call(n: int) -> None:
        enter_call(Call("r"))
        client_s = n * 2 * TICK_S
        begun, context = time.monotonic(), FakeContext(time_left_s=client_s).context
        with pytest.raises(DeadlineExceeded):
            await interceptor.intercept(_sleep, "request", context, "/shop.Test/Do")
        assert time.monotonic() - begun >= client_s
        ended.append(n)

    numbers = range(20)
    await asyncio.gather(*(asyncio.create_task(call(n)) for n in numbers))
    assert ended == list(numbers)


async def _sleep(request: Any, context: Context) -> None:
    await asyncio.sleep(60)
