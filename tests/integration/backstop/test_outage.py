"""MongoDB down, restarted, forgetful or no replica set: what the backstop makes of it."""

import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from bson import Timestamp
from structlog.testing import capture_logs

from services.common.cache.hold import prepare_backstop
from services.common.cache.watched import Watched, stages_for
from services.common.changes import ChangesRefused, HistoryLost, Position
from services.common.mongo import Document, Mongo, MongoDriver, MongoOptions, open_mongo
from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports
from services.stack.stores import running_mongod
from tests.integration.backstop.conftest import (
    NotedCache,
    at_work,
    backstop_on,
    insert,
    watching,
)
from tests.integration.conftest import PATIENT_MS
from tests.integration.hanging import hung
from tests.integration.patience import until

# PyMongo's AsyncMongoClient leaves the socket open on which it was connecting when it was closed.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

TIMEOUT_MS = 2_000
HASTY_MS = 500
STOPS_WITHIN_S = 9.0  # 2 s, and what a machine with other work adds; unbounded, 10 s or more
LONG_AGO = "60000000"  # seconds in hexadecimal


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path)
    folder.prepare()
    return folder


async def test_with_mongodb_killed_and_started_again_it_goes_on_where_it_was(
    folder: DataFolder, driver: MongoDriver, cache: NotedCache
) -> None:
    async with (
        running_mongod(folder) as store,
        AsyncExitStack() as stack,
        open_mongo(MongoOptions(store.uri, driver, TIMEOUT_MS), "shop") as mongo,
        open_mongo(MongoOptions(store.uri, driver, PATIENT_MS), "shop") as writer,
    ):
        await prepare_backstop(writer)
        with capture_logs() as logs:
            async with watching(mongo, cache) as backstop:
                await insert(writer, "a")
                await cache.has("a")
                cache.refusing = True
                await insert(writer, "b")
                await until(lambda: backstop.figures.failures >= 1)
                store.child.process.kill()
                await store.child.process.wait()
                await until(lambda: not backstop.figures.holding)
                cache.refusing = False
                await stack.enter_async_context(running_mongod(folder, store.port))
                await until(lambda: cache.ids[-1] == "b")
                await insert(writer, "c")
                await until(lambda: cache.ids[-1] == "c")
    assert backstop.figures.forgotten == 0
    assert [line["log_level"] for line in logs].count("error") == 0
    assert any("cannot watch" in line["event"] for line in logs)


async def test_with_mongodb_hung_it_stops_within_a_bound_and_goes_on_afterwards(
    folder: DataFolder, driver: MongoDriver, cache: NotedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.common.cache.hold._EXPIRES_MS", 1_000)  # it cannot give it up
    async with (
        running_mongod(folder) as store,
        open_mongo(MongoOptions(store.uri, driver, HASTY_MS), "shop") as mongo,
        open_mongo(MongoOptions(store.uri, driver, PATIENT_MS), "shop") as writer,
    ):
        await prepare_backstop(writer)
        async with AsyncExitStack() as answering_again:
            async with watching(mongo, cache):
                await answering_again.enter_async_context(hung(store))
                stopping = time.monotonic()
            assert time.monotonic() - stopping < STOPS_WITHIN_S
        async with watching(mongo, cache):
            await insert(writer, "a")
            await cache.has("a")


async def test_with_mongodb_down_at_the_start_it_watches_once_it_answers(
    folder: DataFolder, driver: MongoDriver, cache: NotedCache
) -> None:
    with claimed_ports(1) as (port,):
        uri = f"mongodb://127.0.0.1:{port}/?replicaSet=rs0"
        async with open_mongo(MongoOptions(uri, driver, TIMEOUT_MS), "shop") as mongo:
            backstop = backstop_on(mongo, cache)
            backstop.request_rewind()
            async with (
                at_work(backstop),
                running_mongod(folder, port),
                open_mongo(MongoOptions(uri, driver, PATIENT_MS), "shop") as writer,
            ):
                await until(lambda: backstop.figures.holding)
                await insert(writer, "a")
                await cache.has("a")
                assert backstop.figures.rewinds == 1


async def a_change(mongo: Mongo) -> Document:
    begin = Position(await mongo.operation_time())
    await insert(mongo, "before")
    stages = stages_for({"things": Watched(NotedCache().invalidate)})
    async with mongo.changes(stages, begin) as stream:
        (change,) = (await stream.next()).changes
    return dict(change)


async def position_of_another_history(mongo: Mongo) -> Position:
    """Return a position after a change that MongoDB does not know."""
    change = await a_change(mongo)
    token = change["_id"]["_data"]
    return Position(change["clusterTime"], {"_data": token[:2] + LONG_AGO + token[10:]})


async def save(mongo: Mongo, position: Position) -> None:
    fields = {"time": position.time, "token": position.token}
    await mongo.collection("cache_backstop").update_one({}, {"$set": {"position": fields}})


async def test_a_position_that_mongodb_does_not_know_is_lost_history(prepared: Mongo) -> None:
    position = await position_of_another_history(prepared)
    with pytest.raises(HistoryLost):
        async with prepared.changes([], position) as stream:
            await stream.next()


async def test_when_history_is_lost_all_values_are_forgotten_and_changes_count_from_before_that(
    prepared: Mongo, cache: NotedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget_all() -> None:
        await insert(prepared, "during")
        cache.all_forgotten += 1

    monkeypatch.setattr(cache, "forget_all", forget_all)
    await save(prepared, await position_of_another_history(prepared))
    async with watching(prepared, cache) as backstop:
        await cache.has("during")
        await insert(prepared, "after")
        await cache.has("during", "after")
    assert cache.all_forgotten == backstop.figures.forgotten == 1


async def test_forgetting_all_values_is_tried_until_it_succeeds(
    prepared: Mongo, cache: NotedCache
) -> None:
    cache.refusing = True
    await save(prepared, await position_of_another_history(prepared))
    async with watching(prepared, cache) as backstop:
        await until(lambda: backstop.figures.failures >= 2)
        await insert(prepared, "a")
        cache.refusing = False
        await cache.has("a")
    assert cache.all_forgotten == 1


async def test_all_values_that_had_to_be_forgotten_are_when_the_process_ended_before(
    prepared: Mongo, cache: NotedCache, rival_cache: NotedCache
) -> None:
    cache.refusing = True
    await save(prepared, await position_of_another_history(prepared))
    async with watching(prepared, cache) as backstop:
        await until(lambda: backstop.figures.failures >= 1)
    async with watching(prepared, rival_cache):
        await until(lambda: rival_cache.all_forgotten == 1)


@pytest.mark.parametrize("what", ["collection", "database"])
async def test_when_a_collection_is_dropped_all_values_are_forgotten(
    prepared: Mongo, cache: NotedCache, what: str
) -> None:
    await insert(prepared, "a")
    async with watching(prepared, cache):
        await cache.has("a")
        await prepared._database.command({"drop": "things"} if what == "collection" else DROP)
        await until(lambda: cache.all_forgotten >= 1)
        await insert(prepared, "b")
        await cache.has("a", "b")
    assert cache.all_forgotten <= 3  # the collections' ends, the database's and the stream's


DROP: Document = {"dropDatabase": 1}


async def test_a_mongodb_that_is_no_replica_set_is_an_error_said_once(
    lone_mongo_uri: str,
    database: str,
    driver: MongoDriver,
    cache: NotedCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.common.cache.backstop._REFUSED_PAUSE_S", 0.1)
    async with open_mongo(MongoOptions(lone_mongo_uri, driver, PATIENT_MS), database) as mongo:
        await mongo.ping()
        await prepare_backstop(mongo)
        with pytest.raises(ChangesRefused):
            async with mongo.changes([], Position(Timestamp(1, 1))):
                pass
        backstop = backstop_on(mongo, cache)
        with capture_logs() as logs:
            async with at_work(backstop):
                await until(lambda: bool(logs))
                await insert(mongo, "a")
        assert [(line["log_level"], line["event"]) for line in logs] == [
            ("error", "cache backstop cannot watch")
        ]
        assert "replica set" in logs[0]["error"]
    assert cache.ids == []
