import asyncio
import gc
from contextlib import suppress
from typing import Any

import pytest

from services.common.undisturbed import abandonable, undisturbed


async def test_it_returns_what_the_work_returns_and_raises_what_it_raises() -> None:
    async def work(*, fails: bool) -> str:
        if fails:
            raise LookupError
        return "done"

    assert await undisturbed(work(fails=False)) == "done"
    with pytest.raises(LookupError):
        await undisturbed(work(fails=True))


async def test_waiting_ends_when_cancelled_though_the_work_takes_no_notice() -> None:
    ended, release = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await release.wait()
        ended.set()

    waiting = asyncio.create_task(undisturbed(work()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not ended.is_set()
    release.set()
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_failure_that_nobody_waits_for_any_more_is_not_reported() -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(context.get("exception"))
    )
    release, failure = asyncio.Event(), LookupError()

    async def work() -> None:
        await release.wait()
        raise failure

    waiting = asyncio.create_task(undisturbed(work()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    release.set()
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    asyncio.get_running_loop().set_exception_handler(None)
    assert failure not in reported  # others may have left something behind


async def test_abandoned_work_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    waiting = asyncio.create_task(abandonable(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_abandoning_ends_the_waiting_though_the_work_takes_no_notice() -> None:
    release = asyncio.Event()

    async def work() -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    waiting = asyncio.create_task(abandonable(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 5)
    release.set()


async def test_work_that_is_not_abandoned_returns_and_raises() -> None:
    async def work(*, fails: bool) -> str:
        if fails:
            raise LookupError
        return "done"

    assert await abandonable(work(fails=False)) == "done"
    with pytest.raises(LookupError):
        await abandonable(work(fails=True))
