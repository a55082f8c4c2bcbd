import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from services.common.auth.principal import ANONYMOUS
from services.common.call import Call, current_call, enter_call, own_call, remaining_s
from services.common.errors import DeadlineExceeded
from services.common.freshness import Freshness, Source


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
    assert 0 < await remaining_within(60.0, 3600.0) <= 60.0


async def test_after_the_deadline_nothing_is_begun() -> None:
    with pytest.raises(DeadlineExceeded):
        await remaining_within(0.0, 2.0)


async def test_a_call_belongs_to_its_task_alone() -> None:
    await remaining_within(60.0, 3600.0)
    assert current_call().request_id == "-"


class CountingCarrier:
    """Counts how often its metadata is read."""

    def __init__(self, *metadata: tuple[str, Any]) -> None:
        self.metadata = metadata
        self.reads = 0

    def invocation_metadata(self) -> Iterable[tuple[str, Any]] | None:
        self.reads += 1
        return self.metadata or None


def test_metadata_is_read_when_first_asked_for_and_then_kept() -> None:
    carrier = CountingCarrier(("x-request-id", "mine"))
    call = Call(carrier=carrier)
    assert carrier.reads == 0
    assert call.request_id == "mine"
    assert call.metadata == (("x-request-id", "mine"),)
    assert call.request_id == "mine"
    assert carrier.reads == 1


def test_a_call_without_metadata_still_has_a_name_which_it_keeps() -> None:
    call = Call(carrier=CountingCarrier())
    assert call.metadata == ()
    assert call.request_id == call.request_id != ""
    assert Call().request_id != Call().request_id


async def in_a_task(*carriers: CountingCarrier, entered: Call | None = None) -> list[Call]:
    """The own calls of these carriers, asked for one after the other in one task."""

    async def work() -> list[Call]:
        if entered is not None:
            enter_call(entered)
        return [own_call(carrier) for carrier in carriers]

    return await asyncio.create_task(work())


async def test_whoever_comes_first_enters_the_call_for_all() -> None:
    carrier = CountingCarrier(("x-request-id", "mine"))
    first, second = await in_a_task(carrier, carrier)
    assert first is second
    assert first.request_id == "mine"
    assert current_call().request_id == "-"


async def test_a_call_that_was_entered_without_its_carrier_gets_it() -> None:
    entered, carrier = Call("mine"), CountingCarrier(("key", "value"))
    (own,) = await in_a_task(carrier, entered=entered)
    assert own is entered
    assert own.metadata == (("key", "value"),)


async def test_what_came_with_another_carrier_is_another_call() -> None:
    inherited = Call("theirs", carrier=CountingCarrier())
    (own,) = await in_a_task(CountingCarrier(("x-request-id", "mine")), entered=inherited)
    assert own is not inherited
    assert own.request_id == "mine"


@pytest.mark.parametrize(
    ("answers", "source", "age_ms"),
    [
        ([], None, 0),
        ([(Source.NEAR, 12)], Source.NEAR, 12),
        ([(Source.REDIS, 5), (Source.NEAR, 7)], Source.REDIS, 7),
        ([(Source.NEAR, 7), (Source.REDIS, 5)], Source.REDIS, 7),
        ([(Source.NEAR, 7), (Source.MONGO, 0), (Source.REDIS, 9)], Source.MONGO, 9),
        ([(Source.BYPASS, 0), (Source.MONGO, 0)], Source.BYPASS, 0),
    ],
)
def test_of_several_answers_the_farthest_and_the_oldest_count(
    answers: list[tuple[Source, int]], source: Source | None, age_ms: int
) -> None:
    call = Call("r")
    for answer in answers:
        call.answered_from(*answer)
    assert (call.source, call.age_ms) == (source, age_ms)


def test_anything_may_answer_a_call_that_says_nothing_else() -> None:
    assert Call("r").freshness is Freshness.NEAR
