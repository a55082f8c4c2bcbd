"""One process watches at a time, another goes on where it stopped, and any can have it rewound."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from bson import Timestamp

from services.common.cache.hold import Hold
from services.common.changes import Position
from services.common.ids import new_id
from services.common.mongo import Mongo
from tests.integration.backstop.conftest import (
    RENEWS_S,
    NotedCache,
    at_work,
    backstop_on,
    insert,
    watch_of,
    watching,
)
from tests.integration.patience import PATIENT_S, until

EXPIRES_S = 1.0
TAKEN_OVER_WITHIN_S = 25.0  # 1.1 s, and what a machine with other work adds
SOME_RENEWALS_S = 5 * RENEWS_S


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no hold expire while a test goes on."""
    monkeypatch.setattr("services.common.cache.hold._EXPIRES_MS", 600_000)


async def set_watch(mongo: Mongo, **fields: object) -> None:
    watches = mongo.collection("cache_backstop")
    assert await watches.find_one_and_update({}, [{"$set": fields}]) is not None


async def test_of_two_processes_one_delivers(
    prepared: Mongo,
    rival_mongo: Mongo,
    cache: NotedCache,
    rival_cache: NotedCache,
    lasting: None,
    quick: None,
) -> None:
    rival = backstop_on(rival_mongo, rival_cache)
    async with watching(prepared, cache) as backstop, at_work(rival):
        for n in range(3):
            await insert(prepared, f"{n}")
            await asyncio.sleep(SOME_RENEWALS_S / 2)
        await cache.has("0", "1", "2")
        assert backstop.figures.holding
        assert not rival.figures.holding
    assert rival_cache.ids == []


async def test_one_that_stops_is_replaced_without_waiting_for_its_hold_to_expire(
    prepared: Mongo, rival_mongo: Mongo, cache: NotedCache, rival_cache: NotedCache, lasting: None
) -> None:
    standby = backstop_on(rival_mongo, rival_cache)
    async with AsyncExitStack() as stack:
        async with watching(prepared, cache):
            await stack.enter_async_context(at_work(standby))
        await insert(prepared, "a")
        await rival_cache.has("a")
    assert await Hold(prepared).take() is not None


async def test_one_that_dies_is_replaced_when_its_hold_has_expired(
    prepared: Mongo,
    rival_mongo: Mongo,
    cache: NotedCache,
    quick: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.common.cache.hold._EXPIRES_MS", int(EXPIRES_S * 1000))
    begun = time.monotonic()
    dead = Hold(rival_mongo)
    assert await dead.take() is not None
    await insert(prepared, "a")
    async with watching(prepared, cache):
        assert 0.9 * EXPIRES_S < time.monotonic() - begun < TAKEN_OVER_WITHIN_S
        await cache.has("a")
        assert not await dead.keep(Position(Timestamp(1, 1)))


async def test_one_that_has_lost_its_hold_stops_delivering_and_saves_nothing(
    prepared: Mongo, cache: NotedCache, quick: None
) -> None:
    async with watching(prepared, cache) as backstop:
        await set_watch(prepared, holder=new_id(), expire_time={"$add": ["$$NOW", 3_600_000]})
        position = (await watch_of(prepared))["position"]
        await until(lambda: not backstop.figures.holding)
        await insert(prepared, "a")
        await asyncio.sleep(SOME_RENEWALS_S)
        assert cache.ids == []
        assert (await watch_of(prepared))["position"] == position
        await set_watch(prepared, expire_time="$$NOW")
        await cache.has("a")


async def test_a_watch_that_was_deleted_begins_again_where_its_holder_was(
    prepared: Mongo, cache: NotedCache
) -> None:
    async with watching(prepared, cache) as backstop:
        cache.refusing = True
        await insert(prepared, "a")
        await until(lambda: backstop.figures.failures >= 1)
        await prepared.collection("cache_backstop").delete_many({})
        await until(Hold(prepared).is_begun)
        cache.refusing = False
        await cache.has("a")


@pytest.mark.parametrize("asked", ["holder", "standby"])
async def test_a_rewind_repeats_what_was_delivered_whoever_asks(
    prepared: Mongo, rival_mongo: Mongo, cache: NotedCache, asked: str
) -> None:
    standby = backstop_on(rival_mongo, cache)
    async with watching(prepared, cache) as holder, at_work(standby):
        await insert(prepared, "a")
        await insert(prepared, "b")
        await cache.has("a", "b")
        (holder if asked == "holder" else standby).request_rewind()
        await until(lambda: len(cache.ids) >= 4)
        assert cache.ids[2:4] == ["a", "b"]
        await insert(prepared, "c")
        await until(lambda: cache.ids[-1] == "c")
        await until(lambda: holder.figures.rewinds + standby.figures.rewinds == 1)
        assert holder.figures.forgotten == 0


async def test_a_rewind_goes_back_and_never_forward(prepared: Mongo) -> None:
    hold = Hold(prepared)
    position = Position(Timestamp(1_000, 5), {"_data": "82"})
    assert await hold.take() is not None
    assert await hold.keep(position)
    await hold.rewind(Timestamp(2_000, 0))
    assert not await hold.keep(position)
    assert await hold.take() == position
    await hold.rewind(Timestamp(900, 0))
    assert await hold.take() == Position(Timestamp(900, 0))


async def test_a_rewind_repeats_what_the_holder_had_delivered_and_not_saved(
    prepared: Mongo, cache: NotedCache
) -> None:
    """Also when all that it had saved is older than what the rewind is about."""
    async with watching(prepared, cache):
        await set_watch(prepared, position={"time": Timestamp(1, 1)})
        await insert(prepared, "a")
        await cache.has("a")
        await Hold(prepared).rewind(Timestamp(2, 1))
        await until(lambda: cache.ids == ["a", "a"])


async def test_a_process_has_the_watch_once_more_when_it_takes_it_again(prepared: Mongo) -> None:
    hold = Hold(prepared)
    first = await hold.take()
    assert first is not None
    assert await hold.take() == first
    later = Position(Timestamp(first.time.time + 1, 1), {"_data": "82"})
    await hold.give_up(later)
    assert not await hold.keep(first)
    assert await Hold(prepared).take() == later


async def test_no_change_is_lost_while_processes_come_and_go_and_the_cache_refuses_now_and_then(
    prepared: Mongo, rival_mongo: Mongo, cache: NotedCache, quick: None
) -> None:
    written, over = list[str](), asyncio.Event()

    async def write() -> None:
        while not over.is_set():
            await insert(prepared, f"{len(written)}")
            written.append(f"{len(written)}")

    async def come_and_go(mongo: Mongo, seconds: float) -> None:
        for _ in range(4):
            async with at_work(backstop_on(mongo, cache)):
                await asyncio.sleep(seconds)
                cache.refusing = not cache.refusing

    writing = asyncio.create_task(write())
    await asyncio.gather(come_and_go(prepared, 0.35), come_and_go(rival_mongo, 0.45))
    over.set()
    await writing
    cache.refusing = False
    async with watching(prepared, cache):
        await until(lambda: set(cache.ids) >= set(written))


async def test_a_watch_that_has_ended_leaves_nothing_open_in_mongodb(
    prepared: Mongo, cache: NotedCache
) -> None:
    async def cursors_are_open(wanted: bool) -> bool:  # noqa: FBT001
        ours = {"cursor": {"$exists": True}, "ns": {"$regex": f"^{prepared._database.name}[.]"}}
        stages = [{"$currentOp": {"idleCursors": True}}, {"$match": ours}]
        found = await prepared._client.admin.command(
            {"aggregate": 1, "pipeline": stages, "cursor": {}}
        )
        return bool(found["cursor"]["firstBatch"]) is wanted

    async with watching(prepared, cache):
        await insert(prepared, "a")
        await cache.has("a")
        await until(lambda: cursors_are_open(wanted=True))
    await until(lambda: cursors_are_open(wanted=False))


async def test_it_stops_when_told_to_whatever_it_is_doing(
    prepared: Mongo, cache: NotedCache
) -> None:
    async with asyncio.timeout(PATIENT_S):
        for n in range(20):
            async with at_work(backstop_on(prepared, cache)):
                await asyncio.sleep(n / 700)
