import asyncio

import pytest

from services.common.auth.principal import ANONYMOUS
from services.common.call import Call, current_call, enter_call, remaining_s
from services.common.errors import DeadlineExceeded


async def remaining_within(deadline_in_s: float | None, at_most_s: float) -> float:
    """What is left of a call that ends so many seconds from now."""

    async def in_call() -> float:
        now = asyncio.get_running_loop().time()
        enter_call(Call("r", deadline=None if deadline_in_s is None else now + deadline_in_s))
        return remaining_s(at_most_s)

    return await asyncio.create_task(in_call())


def test_outside_a_call_nobody_is_calling() -> None:
    assert current_call().principal is ANONYMOUS
    assert current_call().request_id == "-"


async def test_without_a_deadline_all_that_is_allowed_remains() -> None:
    assert await remaining_within(None, 2.0) == 2.0


async def test_a_distant_deadline_does_not_lengthen_what_is_allowed() -> None:
    assert await remaining_within(60.0, 2.0) == 2.0


async def test_a_close_deadline_shortens_what_remains() -> None:
    assert 0.5 < await remaining_within(1.0, 2.0) <= 1.0


async def test_after_the_deadline_nothing_is_begun() -> None:
    with pytest.raises(DeadlineExceeded):
        await remaining_within(0.0, 2.0)


async def test_a_call_belongs_to_its_task_alone() -> None:
    await remaining_within(1.0, 2.0)
    assert current_call().request_id == "-"
