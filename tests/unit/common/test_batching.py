import asyncio
from collections.abc import AsyncIterator, Collection, Mapping

import pytest

from services.common.batching import Batcher
from services.common.call import Call, current_call, enter_call

PATIENCE_S = 0.05


class Line:
    """Round trips that last until they are let go, and what went out in each."""

    def __init__(self) -> None:
        self.trips: list[list[str]] = []
        self.errors: dict[int, Exception] = {}
        self.calls: list[Call] = []
        self._gates: list[asyncio.Event] = []

    async def run(self, keys: Collection[str]) -> Mapping[str, str]:
        number = len(self.trips)
        self.trips.append(list(keys))
        self.calls.append(current_call())
        self._gates.append(asyncio.Event())
        await self._gates[number].wait()
        if number in self.errors:
            raise self.errors[number]
        return {key: f"{key}{number}" for key in keys}

    def let_go(self, number: int) -> None:
        self._gates[number].set()

    async def begun(self, count: int) -> None:
        """Wait until so many round trips have begun."""
        async with asyncio.timeout(20):
            while len(self.trips) < count:  # noqa: ASYNC110 (the loop itself is waited for)
                await asyncio.sleep(0)


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
async def batcher(line: Line) -> AsyncIterator[Batcher[str, str]]:
    """One that has all the patience of the world."""
    batcher = Batcher(line.run, 3, patience_s=60)
    yield batcher
    await batcher.drain()


def asked(batcher: Batcher[str, str], *keys: str) -> asyncio.Task[Mapping[str, str]]:
    return asyncio.create_task(batcher.ask(keys))


async def turn() -> None:
    """Let everybody go as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_is_asked_for_alone_goes_out_at_once_and_alone(
    line: Line, batcher: Batcher[str, str]
) -> None:
    a = asked(batcher, "a")
    await line.begun(1)
    line.let_go(0)
    assert await a == {"a": "a0"}
    assert line.trips == [["a"]]


async def test_what_is_asked_for_in_one_turn_goes_out_together_each_key_once(
    line: Line, batcher: Batcher[str, str]
) -> None:
    tasks = [asked(batcher, key) for key in ("a", "b", "a")]
    await line.begun(1)
    line.let_go(0)
    assert [await task for task in tasks] == [{"a": "a0", "b": "b0"}] * 3
    assert line.trips == [["a", "b"]]


async def test_what_is_asked_for_during_a_round_trip_goes_out_together_in_the_next(
    line: Line, batcher: Batcher[str, str]
) -> None:
    first = asked(batcher, "a")
    await line.begun(1)
    b = asked(batcher, "b")
    await turn()
    c = asked(batcher, "c")
    await turn()
    assert line.trips == [["a"]]
    line.let_go(0)
    await first
    await line.begun(2)
    line.let_go(1)
    assert await b == await c == {"b": "b1", "c": "c1"}
    assert line.trips == [["a"], ["b", "c"]]


async def test_a_key_never_joins_a_round_trip_that_has_begun(
    line: Line, batcher: Batcher[str, str]
) -> None:
    first = asked(batcher, "a")
    await line.begun(1)
    second = asked(batcher, "a")
    await turn()
    line.let_go(0)
    assert (await first)["a"] == "a0"
    await line.begun(2)
    line.let_go(1)
    assert (await second)["a"] == "a1"


async def test_a_round_trip_has_at_most_so_many_keys_and_those_of_one_question_stay_together(
    line: Line, batcher: Batcher[str, str]
) -> None:
    tasks = [asked(batcher, *keys) for keys in ("a", "bc", "de", "f", "ghij", "k")]
    for number in range(4):
        await line.begun(number + 1)
        line.let_go(number)
    await asyncio.gather(*tasks)
    assert line.trips == [["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i", "j"], ["k"]]


async def test_an_error_goes_to_all_who_asked_and_to_nobody_else(
    line: Line, batcher: Batcher[str, str]
) -> None:
    line.errors[0] = ValueError("broken")
    failing = [asked(batcher, "a"), asked(batcher, "b")]
    await line.begun(1)
    later = asked(batcher, "a")
    await turn()
    line.let_go(0)
    for task in failing:
        with pytest.raises(ValueError, match="broken"):
            await task
    await line.begun(2)
    line.let_go(1)
    assert await later == {"a": "a1"}


async def test_an_error_that_nobody_waits_for_is_nobodys(
    line: Line, batcher: Batcher[str, str]
) -> None:
    line.errors[0] = ValueError("broken")
    batcher.join(["a"])
    await line.begun(1)
    line.let_go(0)
    await batcher.drain()
    b = asked(batcher, "b")
    await line.begun(2)
    line.let_go(1)
    assert await b == {"b": "b1"}


async def test_whoever_gives_up_leaves_the_round_trip_and_the_others_alone(
    line: Line, batcher: Batcher[str, str]
) -> None:
    gone, stays = asked(batcher, "a"), asked(batcher, "b")
    await line.begun(1)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    line.let_go(0)
    assert await stays == {"a": "a0", "b": "b0"}


async def test_what_is_joined_may_be_waited_for_after_it_ended(
    line: Line, batcher: Batcher[str, str]
) -> None:
    batch = batcher.join(["a"])
    await line.begun(1)
    line.let_go(0)
    await batcher.drain()
    assert await batch.answers() == {"a": "a0"}


async def test_a_round_trip_belongs_to_no_call(line: Line, batcher: Batcher[str, str]) -> None:
    async def served() -> Mapping[str, str]:
        enter_call(Call("mine", deadline=0.0))
        return await batcher.ask("a")

    a = asyncio.create_task(served())
    await line.begun(1)
    line.let_go(0)
    assert await a == {"a": "a0"}
    assert line.calls[0].deadline is None


async def test_behind_a_round_trip_that_hangs_others_begin(line: Line) -> None:
    batcher = Batcher(line.run, 3, patience_s=PATIENCE_S, flights=3)
    hanging = asked(batcher, "a")
    await line.begun(1)
    late = []
    for number in (1, 2):
        late += [asked(batcher, f"b{number}"), asked(batcher, f"c{number}")]
        await line.begun(number + 1)
    line.let_go(1)
    line.let_go(2)
    await asyncio.gather(*late)
    assert line.trips == [["a"], ["b1", "c1"], ["b2", "c2"]]
    assert not hanging.done()
    line.let_go(0)
    await hanging


async def test_no_more_round_trips_than_allowed_are_under_way_however_long_they_hang(
    line: Line,
) -> None:
    batcher = Batcher(line.run, 1, patience_s=0, flights=2)
    tasks = []
    for key in "abcd":
        tasks.append(asked(batcher, key))
        await asyncio.sleep(0.01)
    assert line.trips == [["a"], ["b"]]
    for number in range(4):
        await line.begun(number + 1)
        line.let_go(number)
    await asyncio.gather(*tasks)


async def test_what_waits_behind_a_round_trip_that_hangs_goes_out_though_nobody_else_asks(
    line: Line,
) -> None:
    batcher = Batcher(line.run, 3, patience_s=PATIENCE_S)
    hanging, waiting = asked(batcher, "a"), None
    await line.begun(1)
    waiting = asked(batcher, "b")
    async with asyncio.timeout(20):
        while len(line.trips) < 2:  # noqa: ASYNC110 (the loop itself is waited for)
            await asyncio.sleep(PATIENCE_S)
    line.let_go(1)
    assert await waiting == {"b": "b1"}
    line.let_go(0)
    await hanging


async def test_draining_waits_for_what_is_under_way_and_for_what_waits(line: Line) -> None:
    batcher = Batcher(line.run, 3)
    await batcher.drain()
    tasks = [asked(batcher, "a")]
    await line.begun(1)
    tasks.append(asked(batcher, "b"))
    draining = asyncio.create_task(batcher.drain())
    await turn()
    for number in range(2):
        assert not draining.done()
        line.let_go(number)
        await turn()
    await draining
    assert [task.done() for task in tasks] == [True, True]


async def test_a_round_trip_that_is_given_up_is_an_error_to_those_who_asked() -> None:
    async def given_up(_keys: Collection[str]) -> Mapping[str, str]:
        raise asyncio.CancelledError

    with pytest.raises(ConnectionError, match="given up"):
        await Batcher(given_up, 3).ask("a")
