import asyncio
import gc
from typing import Any

import pytest

from services.common.undisturbed import undisturbed


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
