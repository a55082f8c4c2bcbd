"""Reading through the cache, over a Redis and a store in memory."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import cast

import orjson
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from services.common.cache import read_through
from services.common.call import Call, enter_call
from services.common.errors import DeadlineExceeded, InvalidArgument, Unavailable
from services.common.freshness import Freshness, Source
from services.common.rpc.interceptors.deadline import DeadlineInterceptor
from services.common.rpc.methods import Context
from tests.patience import PATIENCE_S, until
from tests.unit.common.cache.fakes import FakeStore, FakeValues, Parts
from tests.unit.common.fakes import FakeClock, FakeContext


@pytest.fixture
def parts() -> Iterator[Parts]:
    with capture_logs():
        yield Parts()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """What tells how long a reader has waited for somebody else's load."""
    clock = FakeClock()
    monkeypatch.setattr(read_through, "monotonic", clock)
    return clock


async def told(
    read: Callable[[], Awaitable[object]], freshness: Freshness = Freshness.NEAR
) -> tuple[object, Source | None]:
    """What a call reads, and what answered."""
    call = Call("r")
    call.freshness = freshness

    async def served() -> object:
        enter_call(call)
        return await read()

    return await asyncio.create_task(served()), call.source


async def test_a_miss_is_loaded_once_and_then_near(parts: Parts) -> None:
    sources = [await told(lambda: parts.name("a")) for _ in range(3)]
    assert sources == [("Ada", Source.MONGO), ("Ada", Source.NEAR), ("Ada", Source.NEAR)]
    assert parts.store.asked == [["a"]]
    assert orjson.loads(parts.shared.values["a"])["value"] == "Ada"
    assert parts.shared.ttl_s == {"a": 300}
    assert parts.shared.leases == {}


async def test_what_another_process_filled_in_comes_from_redis_and_then_is_near(
    parts: Parts,
) -> None:
    other = Parts(parts.shared)
    await other.name("a")
    sources = [await told(lambda: parts.name("a")) for _ in range(2)]
    assert sources == [("Ada", Source.REDIS), ("Ada", Source.NEAR)]
    assert parts.store.asked == []


async def test_an_answer_that_comes_after_redis_was_given_up_is_not_believed(parts: Parts) -> None:
    await Parts(parts.shared).name("a")
    parts.shared.gate.clear()
    reading = asyncio.create_task(told(lambda: parts.name("a")))
    await until(lambda: parts.shared.asked > 2)
    parts.breaker.open()
    parts.shared.gate.set()
    assert await reading == ("Ada", Source.MONGO)


async def test_that_there_is_none_is_remembered_for_30_seconds(parts: Parts) -> None:
    sources = [await told(lambda: parts.name("x")) for _ in range(2)]
    assert sources == [(None, Source.MONGO), (None, Source.NEAR)]
    assert parts.shared.ttl_s == {"x": 30}
    assert parts.store.asked == [["x"]]


async def test_many_are_looked_for_in_one_round_trip_and_what_lacks_is_loaded_in_one(
    parts: Parts,
) -> None:
    await parts.name("a")
    parts.near.drop()
    parts.near.valid_until = float("inf")
    parts.shared.looks.clear()
    found = await parts.cache.get_many(["x", "b", "a", "y"])
    assert {value_id: snapshot.value for value_id, snapshot in found.items()} == {
        "a": "Ada",
        "b": "Bob",
    }
    assert parts.shared.looks == [["x", "b", "a", "y"]]
    assert parts.store.asked == [["a"], ["b", "x", "y"]]


async def test_what_is_near_is_asked_of_nobody(parts: Parts) -> None:
    await parts.cache.get_many(["a", "b", "x"])
    await parts.cache.drain()
    parts.shared.looks.clear()
    parts.store.asked.clear()
    assert (await parts.cache.get_many(["a", "b", "x"])).keys() == {"a", "b"}
    assert (parts.shared.looks, parts.store.asked) == ([], [])


async def test_a_hundred_readers_of_one_value_make_one_load(parts: Parts) -> None:
    parts.store.gate.clear()
    readers = [asyncio.create_task(parts.cache.get("a")) for _ in range(100)]
    await until(lambda: bool(parts.store.asked))
    parts.store.gate.set()
    snapshots = await asyncio.gather(*readers)
    await parts.cache.drain()
    assert {snapshot.value for snapshot in snapshots if snapshot is not None} == {"Ada"}
    assert len(snapshots) == 100
    assert parts.store.asked == [["a"]]


async def test_readers_in_two_processes_make_one_load(parts: Parts, clock: FakeClock) -> None:
    other = Parts(parts.shared)
    parts.store.gate.clear()
    mine = asyncio.create_task(parts.cache.get("a"))
    await until(lambda: bool(parts.store.asked))
    theirs = asyncio.create_task(other.cache.get("a"))
    await until(lambda: other.figures.redis_waited > 1)
    assert not theirs.done()
    parts.store.gate.set()
    for task in (mine, theirs):
        snapshot = await task
        assert snapshot is not None
        assert snapshot.value == "Ada"
    assert (parts.store.asked, other.store.asked) == ([["a"]], [])


async def test_what_was_loaded_before_a_write_is_neither_filled_in_nor_near(parts: Parts) -> None:
    parts.store.gate.clear()
    reader = asyncio.create_task(parts.cache.get("a"))
    await until(lambda: bool(parts.store.asked))
    parts.store.names["a"] = "Countess"
    await parts.cache.invalidate(["a"])
    parts.store.gate.set()
    old = await reader
    assert old is not None
    assert old.value == "Ada"
    await parts.cache.drain()
    assert "a" not in parts.shared.values
    assert await told(lambda: parts.name("a")) == ("Countess", Source.MONGO)


async def test_a_write_forgets_what_is_near_and_in_redis(parts: Parts) -> None:
    await parts.name("a")
    parts.store.names["a"] = "Countess"
    async with parts.cache.forgetting(["a"]):
        pass
    assert await told(lambda: parts.name("a")) == ("Countess", Source.MONGO)


async def test_a_creation_forgets_that_there_was_none(parts: Parts) -> None:
    assert await parts.name("x") is None
    parts.store.names["x"] = "Xenia"
    await parts.cache.invalidate(["x"])
    assert await parts.name("x") == "Xenia"


@pytest.mark.parametrize(
    "error",
    [RuntimeError(), asyncio.CancelledError(), DeadlineExceeded("late"), Unavailable("gone")],
    ids=repr,
)
async def test_a_write_that_fails_may_have_written_and_does_not_wait_for_redis(
    parts: Parts, error: BaseException
) -> None:
    await parts.name("a")
    parts.shared.gate.clear()
    with pytest.raises(type(error)):
        async with parts.cache.forgetting(["a"]):
            raise error
    assert len(parts.near) == 0
    parts.shared.gate.set()
    await parts.cache.drain()
    assert parts.shared.forgotten == [["a"]]


@pytest.mark.parametrize("hangs_in", ["the write", "its invalidation"])
async def test_a_write_ends_with_its_deadline_while_redis_hangs_and_is_told_later(
    parts: Parts, hangs_in: str
) -> None:
    parts.shared.gate.clear()

    async def write(_request: object, _context: object) -> None:
        async with parts.cache.forgetting(["a"]):
            if hangs_in == "the write":
                await asyncio.Event().wait()

    method = DeadlineInterceptor({"Write": 0.1}).bind(write, "/shop/Write")
    with pytest.raises(DeadlineExceeded):
        await asyncio.ensure_future(method(None, cast("Context", FakeContext())))
    assert parts.shared.forgotten == []
    parts.shared.gate.set()
    await parts.cache.drain()
    assert parts.shared.forgotten == [["a"]]


async def test_a_write_that_was_refused_has_not_written(parts: Parts) -> None:
    with pytest.raises(InvalidArgument):
        async with parts.cache.forgetting(["a"]):
            raise InvalidArgument.of("a", "is wrong")
    assert parts.shared.forgotten == []


async def test_to_invalidate_nothing_asks_nothing(parts: Parts) -> None:
    parts.shared.errors = [AssertionError("asked")]
    await parts.cache.invalidate([])
    await parts.cache.drain()
    assert parts.shared.errors


async def test_a_writer_who_goes_away_leaves_nothing_stale(parts: Parts) -> None:
    await parts.name("a")
    parts.shared.gate.clear()
    before = parts.shared.asked
    writing = asyncio.create_task(parts.cache.invalidate(["a"]))
    await until(lambda: parts.shared.asked > before)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert len(parts.near) == 0
    parts.shared.gate.set()
    await parts.cache.drain()
    assert "a" not in parts.shared.values


UNREADABLE = [b"", b"{", b"null", b"7", b"{}", b'{"key":"name:b","cached_ms":1,"value":"Bob"}']


@pytest.mark.parametrize("raw", UNREADABLE)
async def test_what_is_unreadable_is_loaded_and_replaced_and_counted(
    parts: Parts, raw: bytes
) -> None:
    parts.shared.values["a"] = raw
    assert await told(lambda: parts.name("a")) == ("Ada", Source.MONGO)
    assert orjson.loads(parts.shared.values["a"])["value"] == "Ada"
    assert parts.figures.redis_unreadable >= 1
    assert parts.store.asked == [["a"]]


@pytest.mark.parametrize(
    "error",
    [RedisConnectionError(), ResponseError("READONLY"), OSError(), TimeoutError()],
    ids=repr,
)
async def test_without_redis_reads_come_from_the_store(parts: Parts, error: Exception) -> None:
    parts.shared.errors = [error] * 4
    for _ in range(2):
        assert await told(lambda: parts.name("a")) == ("Ada", Source.MONGO)
    assert parts.figures.redis_error > 0


async def test_what_the_store_raises_comes_to_those_who_asked_and_is_not_kept(
    parts: Parts,
) -> None:
    parts.store.error = InvalidArgument.of("a", "is wrong")
    with pytest.raises(InvalidArgument):
        await parts.cache.get("a")
    await parts.cache.drain()
    assert parts.shared.leases == {}
    parts.store.error = None
    assert await parts.name("a") == "Ada"
    assert parts.figures.mongo_error == 1


async def test_what_redis_does_not_know_to_be_old_is_not_asked_of_it(parts: Parts) -> None:
    await parts.name("a")
    parts.store.names["a"] = "Countess"
    parts.shared.errors = [ResponseError("READONLY")] * 2 + [TimeoutError()]
    await parts.cache.invalidate(["a"])
    assert parts.invalidations.owes(["a"])
    assert await told(lambda: parts.name("a")) == ("Countess", Source.MONGO)
    assert orjson.loads(parts.shared.values["a"])["value"] == "Ada"


async def test_a_reader_who_waits_for_the_load_of_one_who_died_loads_after_a_second(
    parts: Parts, clock: FakeClock
) -> None:
    parts.shared.leases["a"] = "somebody who is no more"
    reading = asyncio.create_task(told(lambda: parts.name("a")))
    await until(lambda: parts.figures.redis_waited > 1)
    clock.now += 0.99
    waited = parts.figures.redis_waited
    await until(lambda: parts.figures.redis_waited > waited + 1)
    assert not reading.done()
    clock.now += 0.02
    async with asyncio.timeout(PATIENCE_S):
        assert await reading == ("Ada", Source.MONGO)


async def test_no_near_asks_redis_and_no_cache_asks_the_store(parts: Parts) -> None:
    await parts.name("a")
    parts.store.names["a"] = "behind its back"
    for freshness, answer in (
        (Freshness.NEAR, ("Ada", Source.NEAR)),
        (Freshness.SHARED, ("Ada", Source.REDIS)),
        (Freshness.STORE, ("behind its back", Source.BYPASS)),
        (Freshness.NEAR, ("Ada", Source.NEAR)),
    ):
        assert await told(lambda: parts.name("a"), freshness) == answer
    for freshness, source in (
        (Freshness.NEAR, Source.NEAR),
        (Freshness.SHARED, Source.REDIS),
        (Freshness.STORE, Source.BYPASS),
    ):
        _, answered = await told(lambda: parts.cache.get_many(["a"]), freshness)
        assert answered is source
    assert parts.figures.bypassed == 2


async def test_a_read_past_the_caches_never_joins_a_load_that_began_before_it(
    parts: Parts,
) -> None:
    parts.store.gate.clear()
    early = asyncio.create_task(parts.cache.get("a"))
    await until(lambda: bool(parts.store.asked))
    parts.store.names["a"] = "Countess"
    late = asyncio.create_task(told(lambda: parts.name("a"), Freshness.STORE))
    await until(lambda: parts.figures.bypassed > 0)
    parts.store.gate.set()
    await early
    assert await late == ("Countess", Source.BYPASS)


async def test_of_several_answers_the_farthest_and_oldest_is_told(parts: Parts) -> None:
    await parts.name("a")
    _, source = await told(lambda: parts.cache.get_many(["a", "b"]))
    assert source is Source.MONGO


async def test_what_readers_went_away_from_is_filled_in_nevertheless(parts: Parts) -> None:
    parts.store.gate.clear()
    reader = asyncio.create_task(parts.cache.get("a"))
    await until(lambda: bool(parts.store.asked))
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    parts.store.gate.set()
    await parts.cache.drain()
    assert "a" in parts.shared.values


async def test_without_a_near_cache_redis_answers_each_time() -> None:
    parts = Parts(FakeValues(), FakeStore({"a": "Ada"}))
    parts.near.closed = True
    await parts.name("a")
    for _ in range(2):
        assert await told(lambda: parts.name("a")) == ("Ada", Source.REDIS)
    assert parts.store.asked == [["a"]]


async def test_only_a_near_cache_that_is_at_work_is_counted_as_asked(parts: Parts) -> None:
    await parts.name("a")
    parts.near.closed = True
    await parts.name("b")
    await parts.cache.get_many(["a", "b"])
    assert parts.figures.near_miss == 1
