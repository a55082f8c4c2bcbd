"""Measuring the members of a group in turns, and what is made of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.arms import NotWhatItClaimsError
from bench.layers.contest import Extent, Figures, Group, held
from bench.layers.groups.mongo_loads import Queries
from bench.layers.members import Local, Measured, Member, awaited, called, confirm, repeated
from bench.layers.reporting import report
from bench.layers.setting import Setting
from bench.layers.table import table
from bench.stores import Asked, StoreCounts
from services.common.call import current_call
from services.common.freshness import Freshness

FOUR_SHORT_ROUNDS = Extent(4, 0.02)


@dataclass
class Pretended:
    """A member that says what it took: ``per_operation_s`` each time."""

    name: str
    per_operation_s: float
    step: int = 1
    most: int = 1_000_000
    log: list[tuple[str, int]] = field(default_factory=list)

    async def run(self, operations: int) -> Measured:
        self.log.append((self.name, operations))
        seconds = self.per_operation_s * operations
        return Measured(seconds, seconds / 2, seconds / 4)


def group_of(*members: Member) -> Group:
    @asynccontextmanager
    async def opened(_setting: Setting) -> AsyncIterator[Sequence[Member]]:
        yield members

    return Group("pretended", [member.name for member in members], opened)


async def figures(
    *members: Member, wanted: Sequence[str] = (), extent: Extent = FOUR_SHORT_ROUNDS
) -> dict[str, Figures]:
    names = wanted or [member.name for member in members]
    return dict(await held(group_of(*members), names, Setting(AsyncExitStack()), extent))


async def test_every_round_goes_through_all_members_in_an_order_of_its_own() -> None:
    log: list[tuple[str, int]] = []
    members = [Pretended(name, 0.01, most=2, log=log) for name in "abcd"]
    await figures(*members, extent=Extent(8, 0.02))
    rounds = ["".join(name for name, _ in log[-4 * n :][:4]) for n in range(8, 0, -1)]
    assert all(sorted(order) == list("abcd") for order in rounds)
    assert len(set(rounds)) > 1


async def test_a_round_has_as_many_operations_as_take_its_time() -> None:
    found = await figures(
        Pretended("dear", 0.01),
        Pretended("cheap", 0.000_1),
        Pretended("in steps", 0.001, step=16),
        Pretended("few", 0.000_1, step=5, most=13),
        Pretended("too dear for one round", 1.0),
    )
    assert {name: one.operations for name, one in found.items()} == {
        "dear": 2,
        "cheap": 200,
        "in steps": 32,
        "few": 10,
        "too dear for one round": 1,
    }
    assert all(len(one.rounds) == 4 for one in found.values())


async def test_only_the_members_that_are_wanted_are_measured() -> None:
    log: list[tuple[str, int]] = []
    members = [Pretended(name, 0.01, log=log) for name in "ab"]
    assert set(await figures(*members, wanted=["b"])) == {"b"}
    assert {name for name, _ in log} == {"b"}


async def test_a_member_that_a_group_does_not_have_is_missed() -> None:
    with pytest.raises(LookupError, match="pretended has no nobody"):
        await figures(Pretended("a", 0.01), wanted=["nobody"])


async def test_work_is_timed_and_its_claim_is_not() -> None:
    @asynccontextmanager
    async def slow_claim(_operations: int) -> AsyncIterator[None]:
        await asyncio.sleep(0.1)
        yield
        await asyncio.sleep(0.1)

    work = awaited(lambda: asyncio.sleep(0.005, "done"), lambda said: said == "done")
    begun = time.perf_counter()
    measured = await Local("sleep", work, slow_claim).run(10)
    claimed = time.perf_counter() - begun - measured.seconds
    assert measured.seconds > 0.02
    assert claimed > 0.15  # the loop's timers are true to a millisecond


async def test_the_cpu_of_a_sleep_is_less_than_its_time_and_that_of_work_is_not() -> None:
    asleep = await Local("sleep", awaited(lambda: asyncio.sleep(0.02), lambda _: True)).run(10)
    busy = await Local("busy", repeated(lambda: sum(range(100_000)), lambda total: total > 0)).run(
        50
    )
    assert asleep.cpu_s < asleep.seconds
    assert busy.cpu_s > 0.01
    assert busy.stores_cpu_s == 0


async def test_each_of_several_callers_has_a_call_of_its_own() -> None:
    calls = set()

    async def operate() -> None:
        calls.add(current_call())
        assert current_call().freshness is Freshness.SHARED
        await asyncio.sleep(0)

    await called(3, operate, Freshness.SHARED)(12)
    assert len(calls) == 3


async def test_as_many_operations_are_done_as_are_counted() -> None:
    done: list[int] = []

    async def operate() -> None:
        done.append(1)

    for work in (
        repeated(lambda: done.append(1), lambda _: True),
        awaited(operate, lambda _: True),
        called(4, operate),
    ):
        done.clear()
        await work(20)
        assert len(done) == 20


async def test_a_wrong_result_is_not_measured() -> None:
    for work in (
        repeated(lambda: "wrong", lambda said: said == "right"),
        awaited(lambda: asyncio.sleep(0, "wrong"), lambda said: said == "right"),
    ):
        with pytest.raises(NotWhatItClaimsError, match="wrong"):
            await figures(Local("wrong", work))


class Counting:
    """Counters of stores that somebody else moves."""

    def __init__(self) -> None:
        self.mongo = 0

    def read(self) -> Asked:
        return Asked(self.mongo, 0)


@pytest.mark.parametrize(
    ("queries", "least", "most"),
    [(999, 1, 1), (1_021, 1, 1), (1_000, 0, 0.25), (0, 1, 1)],
)
async def test_more_or_fewer_queries_than_claimed_are_noticed(
    queries: int, least: float, most: float
) -> None:
    counts = Counting()
    claim = Queries(cast("StoreCounts", counts), least, most)
    with pytest.raises(NotWhatItClaimsError, match=f"{queries} times for 1000"):
        async with claim.claimed(1_000):
            counts.mongo += queries


@pytest.mark.parametrize(("queries", "least", "most"), [(1_000, 1, 1), (100, 0, 0.25)])
async def test_as_many_queries_as_claimed_are_right(
    queries: int, least: float, most: float
) -> None:
    counts = Counting()
    async with Queries(cast("StoreCounts", counts), least, most).claimed(1_000):
        counts.mongo += queries


def test_what_does_not_hold_is_said() -> None:
    confirm(1 < 2, "two is less than one")  # noqa: PLR0133
    with pytest.raises(NotWhatItClaimsError, match="two is less"):
        confirm(2 < 1, "two is less than one")  # noqa: PLR0133


def test_the_benchmark_is_told_what_one_operation_took() -> None:
    extra: dict[str, Any] = {}
    benchmark = SimpleNamespace(extra_info=extra, pedantic=lambda *_, **__: None)
    rounds = [Measured(0.5 * n, 0.25 * n, 0.0) for n in (1, 2, 3)]
    report(Figures(100, rounds), "a member", benchmark)
    assert extra["member"] == "a member"
    assert extra["operations_per_round"] == 100
    assert extra["cpu_us"] == pytest.approx(5_000)
    assert extra["cpu_us_by_round"] == pytest.approx([2_500, 5_000, 7_500])


def saved(group: str, member: str, us: Sequence[float], stores_us: float = 0.0) -> dict[str, Any]:
    middle = sorted(us)[len(us) // 2]
    return {
        "group": group,
        "stats": {"median": middle / 1e6, "iqr": 1e-6, "data": [one / 1e6 for one in us]},
        "extra_info": {
            "member": member,
            "cpu_us": middle / 2,
            "cpu_us_by_round": [one / 2 for one in us],
            "stores_cpu_us": stores_us,
        },
    }


def test_the_table_compares_with_the_first_of_the_group_round_by_round() -> None:
    text = table(
        {
            "benchmarks": [
                saved("reads", "near", [10.0, 100.0, 20.0]),
                saved("reads", "far", [20.0, 50.0, 40.0], stores_us=7.0),
                saved("writes", "one", [2_000_000.0]),
            ]
        }
    )
    _, _, *rows = [line.split() for line in text.splitlines()]
    assert rows == [
        ["reads"],
        ["near", "20.0", "1", "50,000", "10.0", "1.00", "1.00"],
        ["far", "40.0", "1", "25,000", "20.0", "7", "2.00", "2.00"],
        ["writes"],
        ["one", "2,000,000", "1", "0", "1,000,000", "1.00", "1.00"],
    ]
