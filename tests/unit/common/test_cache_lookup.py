from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from structlog.testing import capture_logs

from services.common.cache.lookup import Lookup, ReadThroughCache
from tests.unit.common.fakes import FakeRedis


@dataclass(frozen=True)
class Thing:
    thing_id: str
    colour: str


THING: Lookup[Thing] = Lookup(
    prefix="thing",
    encode=lambda thing: thing,
    decode=lambda fields: Thing(fields["thing_id"], fields["colour"]),
    identify=lambda thing: thing.thing_id,
)
RED, BLUE = Thing("1", "red"), Thing("2", "blue")


class Missing(Exception):
    """The store of record has no such thing."""


class FakeStore:
    """The store of record, and what it was asked for."""

    def __init__(self, *things: Thing) -> None:
        self.things = {thing.thing_id: thing for thing in things}
        self.asked: list[str] = []

    async def get(self, thing_id: str) -> Thing:
        self.asked.append(thing_id)
        if thing_id not in self.things:
            raise Missing
        return self.things[thing_id]

    async def get_many(self, thing_ids: Sequence[str]) -> list[Thing]:
        self.asked.extend(thing_ids)
        return [self.things[thing_id] for thing_id in thing_ids if thing_id in self.things]


@pytest.fixture
def redis() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
def cache(redis: FakeRedis) -> Iterator[ReadThroughCache[Thing]]:
    with capture_logs():
        yield ReadThroughCache(redis.client, THING)


async def test_a_miss_is_loaded_and_kept_as_json_for_300_seconds(
    redis: FakeRedis, cache: ReadThroughCache[Thing]
) -> None:
    assert await cache.get("1", FakeStore(RED).get) == RED
    assert orjson.loads(redis.values["thing:1"]) == {"thing_id": "1", "colour": "red"}
    assert redis.ttl_s["thing:1"] == 300


async def test_a_hit_does_not_ask_the_store(cache: ReadThroughCache[Thing]) -> None:
    store = FakeStore(RED)
    assert await cache.get("1", store.get) == await cache.get("1", store.get) == RED
    assert store.asked == ["1"]


async def test_what_the_store_refuses_is_not_kept(
    redis: FakeRedis, cache: ReadThroughCache[Thing]
) -> None:
    with pytest.raises(Missing):
        await cache.get("1", FakeStore().get)
    assert not redis.values


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"null", b"5", b'"x"', b"[]", b"{}", b'{"thing_id": "1"}', b"\xff"],
)
async def test_an_unreadable_value_is_a_miss_and_is_replaced(
    redis: FakeRedis, cache: ReadThroughCache[Thing], raw: bytes
) -> None:
    redis.values["thing:1"] = raw
    assert await cache.get("1", FakeStore(RED).get) == RED
    assert orjson.loads(redis.values["thing:1"])["colour"] == "red"


async def test_the_value_of_another_id_is_a_miss(
    redis: FakeRedis, cache: ReadThroughCache[Thing]
) -> None:
    redis.values["thing:1"] = orjson.dumps(BLUE)
    assert await cache.get("1", FakeStore(RED).get) == RED


async def test_many_are_returned_in_the_order_asked_for_and_only_misses_are_loaded(
    redis: FakeRedis, cache: ReadThroughCache[Thing]
) -> None:
    store = FakeStore(RED)
    redis.values["thing:2"] = orjson.dumps(BLUE)
    assert await cache.get_many(["3", "1", "2"], store.get_many) == [RED, BLUE]
    assert store.asked == ["3", "1"]
    assert set(redis.values) == {"thing:1", "thing:2"}


async def test_when_all_are_hits_nothing_is_loaded(
    redis: FakeRedis, cache: ReadThroughCache[Thing]
) -> None:
    store = FakeStore()
    redis.values["thing:2"] = orjson.dumps(BLUE)
    assert await cache.get_many(["2"], store.get_many) == [BLUE]
    assert not store.asked


@pytest.mark.parametrize("error", [RedisConnectionError(), RedisTimeoutError(), OSError()])
async def test_without_redis_reads_come_from_the_store_and_writes_go_on(
    redis: FakeRedis, cache: ReadThroughCache[Thing], error: Exception
) -> None:
    store = FakeStore(RED, BLUE)
    redis.error = error
    assert await cache.get("1", store.get) == RED
    assert await cache.get_many(["1", "2"], store.get_many) == [RED, BLUE]
    await cache.invalidate(["1"])
    assert store.asked == ["1", "1", "2"]


async def test_a_lost_invalidation_is_logged(redis: FakeRedis) -> None:
    redis.error = RedisConnectionError("gone")
    with capture_logs() as logs:
        await ReadThroughCache(redis.client, THING).invalidate(["1"])
    assert [(line["log_level"], line["keys"]) for line in logs] == [("warning", ["thing:1"])]


async def test_what_was_invalidated_is_loaded_again(cache: ReadThroughCache[Thing]) -> None:
    store = FakeStore(RED)
    await cache.get("1", store.get)
    store.things["1"] = Thing("1", "green")
    await cache.invalidate(["1", "2"])
    assert (await cache.get("1", store.get)).colour == "green"


async def test_to_invalidate_nothing_asks_nothing_of_redis(
    redis: FakeRedis, cache: ReadThroughCache[Thing]
) -> None:
    redis.error = AssertionError("asked")
    await cache.invalidate([])
