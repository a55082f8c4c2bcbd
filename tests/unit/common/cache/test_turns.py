import asyncio

import pytest

from services.common.cache.turns import Turns

LONG = 100
"""An attempt after which the pauses grow no more."""


def waiting(turns: Turns, *value_ids: str, attempt: int = 0) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(turns.wait(value_id, attempt)) for value_id in value_ids]


async def test_all_who_wait_for_a_value_go_on_when_it_comes_and_nobody_else() -> None:
    turns = Turns()
    first, second, other = waiting(turns, "a", "a", "b", attempt=LONG)
    await asyncio.sleep(0)
    turns.come(["a", "unknown"])
    async with asyncio.timeout(20):
        await asyncio.gather(first, second)
    turns.come(["b"])
    await other


async def test_whoever_waits_goes_on_by_and_by_though_nothing_comes() -> None:
    turns = Turns()
    async with asyncio.timeout(20):
        for attempt in (0, 1, 5, LONG):
            await turns.wait("a", attempt)


async def test_all_who_wait_for_a_value_go_on_with_the_first_of_them() -> None:
    turns, ended = Turns(), list[int]()

    async def wait(number: int, attempt: int) -> None:
        await turns.wait("a", attempt)
        ended.append(number)

    first = asyncio.create_task(wait(0, attempt=0))
    asyncio.create_task(wait(1, attempt=LONG))  # noqa: RUF006 (it ends with the first)
    async with asyncio.timeout(20):
        await first
    assert ended == [0, 1]


async def test_whoever_gives_up_waiting_leaves_the_others_alone() -> None:
    turns = Turns()
    gone, stays = waiting(turns, "a", "a", attempt=LONG)
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    turns.come(["a"])
    await stays


async def test_a_value_that_nobody_waits_for_may_come() -> None:
    Turns().come(["a"])
