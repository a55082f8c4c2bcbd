"""Every change reaches the cache, at least once, whatever stops in between."""

import asyncio
import time

import pytest
from structlog.testing import capture_logs

from services.common.cache.hold import prepare_backstop
from services.common.cache.watched import Watched, stages_for
from services.common.changes import Position
from services.common.mongo import Document, Mongo, MongoDriver, MongoOptions, open_mongo
from services.common.transaction import Session
from tests.integration.backstop.conftest import (
    NotedCache,
    change,
    insert,
    renewed,
    update,
    watch_of,
    watching,
)
from tests.integration.conftest import EACH_DRIVER
from tests.integration.patience import until

OPERATION_S = 2.5
SEVEN_ANSWERS_WITHIN_S = 15.0  # 3.5 s; as long as an operation may take, each, 17.5 s


async def test_inserts_updates_and_deletes_are_delivered(
    prepared: Mongo, cache: NotedCache
) -> None:
    async with watching(prepared, cache) as backstop:
        await insert(prepared, "a")
        await cache.has("a")
        await update(prepared, "a", n=1)
        await cache.has("a", "a")
        await prepared.collection("things").delete_one({"_id": "a"})
        await cache.has("a", "a", "a")
        await until(lambda: backstop.figures.keys == 3)
    assert backstop.figures.changes == 3
    assert backstop.figures.failures == backstop.figures.forgotten == 0
    assert 0 <= backstop.figures.lag_s < 30


async def test_the_changes_of_a_transaction_are_delivered(
    prepared: Mongo, cache: NotedCache
) -> None:
    async def work(session: Session) -> None:
        for name in ("a", "b"):
            await prepared.collection("things").insert_one({"_id": name}, session=session)

    async with watching(prepared, cache):
        await prepared.in_transaction(work)
        await cache.has("a", "b")


async def test_changes_elsewhere_are_not_delivered(prepared: Mongo, cache: NotedCache) -> None:
    async with watching(prepared, cache) as backstop:
        await insert(prepared, "a", "others")
        await insert(prepared, "b")
        await cache.has("b")
    assert backstop.figures.changes == 1


async def test_changes_made_between_preparation_and_the_first_watch_are_delivered(
    prepared: Mongo, cache: NotedCache
) -> None:
    await insert(prepared, "a")
    async with watching(prepared, cache):
        await cache.has("a")


async def test_preparing_again_loses_no_change(prepared: Mongo, cache: NotedCache) -> None:
    await insert(prepared, "a")
    await prepare_backstop(prepared)
    async with watching(prepared, cache):
        await cache.has("a")


async def test_changes_made_while_nobody_watched_are_delivered_afterwards_and_no_others(
    prepared: Mongo, cache: NotedCache
) -> None:
    async with watching(prepared, cache):
        await insert(prepared, "a")
        await cache.has("a")
    await insert(prepared, "b")
    async with watching(prepared, cache):
        await insert(prepared, "c")
        await until(lambda: "c" in cache.ids)
    assert cache.ids == ["a", "b", "c"]


async def test_nothing_is_skipped_while_the_cache_refuses(
    prepared: Mongo, cache: NotedCache
) -> None:
    with capture_logs() as logs:
        async with watching(prepared, cache) as backstop:
            cache.refusing = True
            await insert(prepared, "a")
            await until(lambda: backstop.figures.failures >= 3)
            await insert(prepared, "b")
            cache.refusing = False
            await cache.has("a", "b")
    assert [line["log_level"] for line in logs] == ["warning", "info"]


async def test_what_could_not_be_delivered_before_the_end_is_delivered_by_the_next(
    prepared: Mongo, cache: NotedCache, rival_cache: NotedCache, quick: None
) -> None:
    cache.refusing = True
    async with watching(prepared, cache) as backstop:
        await insert(prepared, "a")
        await until(lambda: backstop.figures.failures >= 1)
        await renewed(prepared)
    async with watching(prepared, rival_cache):
        await rival_cache.has("a")


async def test_a_cache_that_never_answers_is_asked_again(
    prepared: Mongo, cache: NotedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.common.cache.backstop._ATTEMPT_WITHIN_S", 0.2)
    answers = asyncio.Event()

    async def invalidate(*_: object) -> None:
        await answers.wait()
        cache.ids.append("a")

    monkeypatch.setattr(cache, "invalidate", invalidate)
    async with watching(prepared, cache) as backstop:
        await insert(prepared, "a")
        await until(lambda: backstop.figures.failures >= 2)
        answers.set()
        await cache.has("a")


async def test_many_changes_arrive_in_batches_each_id_once(
    prepared: Mongo, cache: NotedCache
) -> None:
    documents = [f"{n:04}" for n in range(2_500)]
    for name in documents[:2]:
        await insert(prepared, name)
    for n in range(20):
        await update(prepared, documents[0], n=n)
    await prepared._database["things"].insert_many([{"_id": name} for name in documents[2:]])
    async with watching(prepared, cache) as backstop:
        await until(lambda: len(cache.ids) >= len(documents))
    assert cache.ids == documents
    assert backstop.figures.changes == len(documents) + 20


PAGE = {"name": "x" * 50, "price": {"units": 1, "code": "EUR"}, "tags": [1, 2, 3], "sold": 0}


async def test_an_update_of_fields_that_are_not_shown_is_not_delivered(
    prepared: Mongo, cache: NotedCache
) -> None:
    await insert(prepared, "a", "pages", **PAGE)
    async with watching(prepared, cache):
        await cache.has("a")
        await update(prepared, "a", "pages", sold=1)
        await change(prepared, "a", {"$unset": {"sold": ""}}, "pages")
        await insert(prepared, "b", "pages")
        await cache.has("a", "b")


async def test_an_update_of_a_shown_field_or_a_part_of_it_is_delivered(
    prepared: Mongo, cache: NotedCache
) -> None:
    changes: list[Document | list[Document]] = [
        {"$set": {"name": "y"}},
        {"$inc": {"price.units": 1}},
        {"$unset": {"price.code": ""}},
        {"$unset": {"name": ""}},
        {"$push": {"tags": 4}},
        {"$pop": {"tags": 1}},
        {"$inc": {"sold": 1, "price.units": 1}},
        [{"$set": {"tags": [1]}}],
    ]
    await insert(prepared, "a", "pages", **PAGE)
    async with watching(prepared, cache):
        for delivered, operators in enumerate(changes, start=1):
            await cache.has(*["a"] * delivered)
            await change(prepared, "a", operators, "pages")
        await cache.has(*["a"] * (len(changes) + 1))


async def test_a_change_is_delivered_under_the_owner_of_its_document(
    prepared: Mongo, cache: NotedCache
) -> None:
    await insert(prepared, "1", "orders", user_id="ada", status="PENDING")
    async with watching(prepared, cache):
        await cache.has("ada")
        await update(prepared, "1", "orders", status="CONFIRMED")
        await cache.has("ada", "ada")


async def test_when_a_document_is_gone_whose_owner_is_unknown_all_values_are_forgotten(
    prepared: Mongo, cache: NotedCache
) -> None:
    await insert(prepared, "1", "orders", user_id="ada")
    async with watching(prepared, cache):
        await cache.has("ada")
        await prepared.collection("orders").delete_one({"_id": "1"})
        await until(lambda: cache.all_forgotten == 1)
        await insert(prepared, "2", "orders", user_id="bob")
        await cache.has("ada", "bob")


async def test_of_a_document_only_its_owner_travels(prepared: Mongo, cache: NotedCache) -> None:
    begin = Position(await prepared.operation_time())
    for name in ("users", "orders"):
        await insert(prepared, "1", name, user_id="ada", password_hash="secret")
        await update(prepared, "1", name, password_hash="other")
    for watched, owner in (
        ({"users": Watched(cache.invalidate)}, {}),
        ({"orders": Watched(cache.invalidate, owner="user_id")}, {"user_id": "ada"}),
    ):
        async with prepared.changes(stages_for(watched), begin) as stream:
            inserted, updated = (await stream.next()).changes
        assert inserted.get("fullDocument", {}) == owner
        for told in (inserted, updated):
            assert "updateDescription" not in told
            assert "secret" not in str(told)
            assert "other" not in str(told)


@EACH_DRIVER
async def test_an_idle_stream_answers_often_and_outlives_the_time_that_an_operation_may_take(
    mongo_uri: str, driver: MongoDriver, database: str
) -> None:
    options = MongoOptions(mongo_uri, driver, int(OPERATION_S * 1000))
    async with open_mongo(options, database) as mongo:
        begin = Position(await mongo.operation_time())
        stages = stages_for({"things": Watched(NotedCache().invalidate)})
        async with mongo.changes(stages, begin) as stream:
            begun = time.monotonic()
            for _ in range(7):
                assert (await stream.next()).changes == []
            took_s = time.monotonic() - begun
            await insert(mongo, "a")
            (inserted,) = (await stream.next()).changes
    assert OPERATION_S < took_s < SEVEN_ANSWERS_WITHIN_S
    assert inserted["documentKey"] == {"_id": "a"}


async def test_the_position_moves_on_while_nothing_that_matters_changes(
    prepared: Mongo, cache: NotedCache, quick: None
) -> None:
    async def is_saved_beyond(token: object) -> bool:
        return bool((await watch_of(prepared))["position"]["token"] != token)

    async with watching(prepared, cache):
        await until(lambda: is_saved_beyond(None))
    first = (await watch_of(prepared))["position"]["token"]
    await insert(prepared, "a", "others")
    async with watching(prepared, cache):
        await until(lambda: is_saved_beyond(first))
    assert cache.ids == []
