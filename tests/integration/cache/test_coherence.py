"""Two caches, each with its own connections, as two processes have."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field

import pytest
from redis.asyncio import Redis

from services.common.cache.adoption import mark_of
from services.common.cache.breaker import BreakerState
from services.common.cache.lookup import Lookup
from services.common.cache.near import NearOptions
from services.common.cache.shared import LEASE_S, Fill, Lease, channel
from services.common.cache.wiring import CacheMode
from services.common.freshness import Freshness, Source
from services.common.ids import new_id
from services.common.redis import open_redis
from services.common.redis.servers import RedisOptions, RedisServers
from services.common.snapshot import Snapshot
from services.stack.stores import Store
from tests.integration.cache.conftest import TIMEOUT_MS
from tests.integration.caches import Opened, granting_leases_for, opened_cache, told
from tests.integration.hanging import go_on, hang
from tests.integration.patience import until

NAME: Lookup[str] = Lookup("name", str)

pytestmark = pytest.mark.usefixtures("lasting_leases")


@dataclass
class Names:
    """The store of record: slow if told so, with what it was asked for in each round trip."""

    known: dict[str, str] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def load(self, value_ids: Collection[str]) -> Mapping[str, Snapshot[str]]:
        self.asked.append(sorted(value_ids))
        found = {i: Snapshot(self.known[i]) for i in value_ids if i in self.known}
        await self.gate.wait()
        return found


@dataclass(frozen=True)
class Twins:
    """Two caches over one store of record, and a name that nobody else uses."""

    one: Opened[str]
    two: Opened[str]
    names: Names
    ada: str

    async def read(
        self, cache: Opened[str], freshness: Freshness = Freshness.NEAR
    ) -> tuple[str | None, Source | None]:
        """Read Ada's name and wait until what was loaded is filled in."""
        snapshot, source = await told(lambda: cache.values.get(self.ada), freshness)
        await cache.values.drain()
        return None if snapshot is None else snapshot.value, source

    async def rename(self, cache: Opened[str], name: str) -> None:
        self.names.known[self.ada] = name
        await cache.values.invalidate([self.ada])


@pytest.fixture
async def twins(servers: RedisServers, rival_servers: RedisServers) -> AsyncIterator[Twins]:
    ada = new_id()
    names = Names({ada: "Ada"})
    async with (
        opened_cache(servers, NAME, names.load) as one,
        opened_cache(rival_servers, NAME, names.load) as two,
    ):
        for cache in (one, two):
            await cache.until_near()
        yield Twins(one, two, names, ada)


# ---- Where answers come from


async def test_mongodb_answers_first_then_redis_elsewhere_and_then_what_is_near(
    twins: Twins,
) -> None:
    assert await twins.read(twins.one) == ("Ada", Source.MONGO)
    assert await twins.read(twins.two) == ("Ada", Source.REDIS)
    for cache in (twins.one, twins.two):
        assert await twins.read(cache) == ("Ada", Source.NEAR)
    assert twins.names.asked == [[twins.ada]]


async def test_what_may_answer_is_for_the_caller_to_say(twins: Twins) -> None:
    await twins.read(twins.one)
    twins.names.known[twins.ada] = "behind its back"
    assert await twins.read(twins.one, Freshness.SHARED) == ("Ada", Source.REDIS)
    answer = await twins.read(twins.one, Freshness.STORE)
    assert answer == ("behind its back", Source.BYPASS)
    assert await twins.read(twins.one) == ("Ada", Source.NEAR)


async def test_without_a_near_cache_redis_answers_each_time(servers: RedisServers) -> None:
    ada, names = new_id(), Names()
    names.known[ada] = "Ada"
    async with opened_cache(servers, NAME, names.load, CacheMode.REDIS) as cache:
        await cache.values.get(ada)
        await cache.values.drain()
        for _ in range(2):
            _, source = await told(lambda: cache.values.get(ada))
            assert source is Source.REDIS
        assert len(cache.near) == 0


# ---- What changes


async def test_a_change_is_seen_at_once_by_who_made_it_and_by_all_who_want_it_shared(
    twins: Twins,
) -> None:
    for number in range(20):
        writer, reader = (twins.one, twins.two) if number % 2 else (twins.two, twins.one)
        await twins.read(writer)
        await twins.read(reader)
        await twins.rename(writer, f"Ada {number}")
        assert (await twins.read(reader, Freshness.SHARED))[0] == f"Ada {number}"
        assert (await twins.read(writer))[0] == f"Ada {number}"


async def test_a_change_is_heard_in_the_other_cache(twins: Twins) -> None:
    await twins.read(twins.one)
    await twins.read(twins.two)
    assert len(twins.two.near) == 1
    await twins.rename(twins.one, "Countess")
    await until(lambda: len(twins.two.near) == 0)
    assert (await twins.read(twins.two))[0] == "Countess"
    assert twins.two.figures.lag_s.count >= 1
    assert 0 <= twins.two.figures.lag_s.total < 60


async def test_that_there_is_nothing_ends_everywhere_when_there_is_something(
    twins: Twins, redis: Redis
) -> None:
    del twins.names.known[twins.ada]
    for cache in (twins.one, twins.two, twins.one, twins.two):
        assert (await twins.read(cache))[0] is None
    assert twins.names.asked == [[twins.ada]]
    assert 15 < await redis.ttl(NAME.key(twins.ada)) <= 30
    await twins.rename(twins.one, "Ada")
    assert (await twins.read(twins.one))[0] == "Ada"
    await until(lambda: len(twins.two.near) == 0)
    assert (await twins.read(twins.two))[0] == "Ada"
    del twins.names.known[twins.ada]
    await twins.two.values.invalidate([twins.ada])
    assert (await twins.read(twins.two))[0] is None


async def test_when_everything_is_forgotten_it_is_forgotten_everywhere(
    servers: RedisServers, rival_servers: RedisServers, redis: Redis
) -> None:
    names = Names({f"{number}": "somebody" for number in range(50)})
    own: Lookup[str] = Lookup(f"own_{new_id()}", str)
    async with (
        opened_cache(servers, own, names.load) as one,
        opened_cache(rival_servers, own, names.load) as two,
    ):
        for cache in (one, two):
            await cache.until_near()
            await cache.values.get_many(list(names.known))
            await cache.values.drain()
            assert len(cache.near) == 50
        held = await one.shared.look(["cold"], "a token")
        assert held == {"cold": Lease.GRANTED}
        await redis.set(f"other:{own.prefix}", "stays")
        await one.invalidations.deliver_all()
        await until(lambda: len(one.near) == len(two.near) == 0)
        left = {f"other:{own.prefix}".encode(), f"adopted:{own.prefix}".encode()}
        assert set(await redis.keys(f"*{own.prefix}*")) == left
        assert await one.shared.fill([Fill("cold", "a token", b"old", 300)]) == [False]
        await redis.delete(f"other:{own.prefix}")


# ---- Leases


async def test_many_readers_of_a_cold_value_through_two_caches_load_it_once(twins: Twins) -> None:
    twins.names.gate.clear()
    readers = [
        asyncio.create_task(cache.values.get(twins.ada))
        for _ in range(100)
        for cache in (twins.one, twins.two)
    ]
    await until(lambda: bool(twins.names.asked))
    figures = (twins.one.figures, twins.two.figures)
    await until(lambda: sum(of_one.redis_waited for of_one in figures) >= 100)
    twins.names.gate.set()
    found = await asyncio.gather(*readers)
    assert {snapshot.value for snapshot in found if snapshot is not None} == {"Ada"}
    assert len(found) == 200
    assert twins.names.asked == [[twins.ada]]


async def test_what_was_loaded_before_a_change_elsewhere_is_not_filled_in_after_it(
    twins: Twins, redis: Redis
) -> None:
    twins.names.gate.clear()
    reader = asyncio.create_task(twins.one.values.get(twins.ada))
    await until(lambda: bool(twins.names.asked))
    await twins.rename(twins.two, "Countess")
    twins.names.gate.set()
    old = await reader
    assert old is not None
    assert old.value == "Ada"
    await twins.one.values.drain()
    assert await redis.get(NAME.key(twins.ada)) is None
    assert len(twins.one.near) == 0
    for cache in (twins.one, twins.two):
        assert (await twins.read(cache))[0] == "Countess"


async def test_a_fill_without_its_lease_is_refused(twins: Twins, redis: Redis) -> None:
    shared, key = twins.one.shared, NAME.key(twins.ada)
    assert await shared.look([twins.ada], "mine") == {twins.ada: Lease.GRANTED}
    assert await shared.look([twins.ada], "theirs") == {twins.ada: Lease.TAKEN}
    assert await shared.fill([Fill(twins.ada, "theirs", b"x", 300)]) == [False]
    await redis.delete(NAME.lease_key(twins.ada))
    assert await shared.fill([Fill(twins.ada, "mine", b"x", 300)]) == [False]
    assert await redis.get(key) is None
    assert await shared.look([twins.ada], "again") == {twins.ada: Lease.GRANTED}
    assert await shared.fill([Fill(twins.ada, "again", b"x", 300)]) == [True]
    assert await shared.look([twins.ada], "late") == {twins.ada: b"x"}
    assert await redis.exists(NAME.lease_key(twins.ada)) == 0


async def test_a_fill_or_a_probe_that_finds_something_else_for_a_lease_is_refused_alone(
    twins: Twins, redis: Redis
) -> None:
    shared, other = twins.one.shared, new_id()
    assert await shared.look([other], "mine") == {other: Lease.GRANTED}
    for value_id in (twins.ada, ""):
        await redis.rpush(NAME.lease_key(value_id), "x")
    fills = [Fill(value_id, "mine", b"x", 300) for value_id in (twins.ada, "", other)]
    assert await shared.fill(fills) == [False, False, True]
    await redis.delete(NAME.lease_key(""))


async def test_a_lease_that_is_given_back_is_free(twins: Twins) -> None:
    shared = twins.one.shared
    await shared.look([twins.ada], "mine")
    assert await shared.fill([Fill(twins.ada, "mine")]) == [False]
    assert await shared.look([twins.ada], "theirs") == {twins.ada: Lease.GRANTED}


async def test_a_reader_that_died_with_its_lease_holds_others_up_for_a_second(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    granting_leases_for(LEASE_S, monkeypatch)
    begun = time.monotonic()
    await twins.two.shared.look([twins.ada], "of one who died")
    assert await twins.read(twins.one) == ("Ada", Source.MONGO)
    assert 0.9 * LEASE_S < time.monotonic() - begun < 10 * LEASE_S


async def test_an_unreadable_value_is_replaced_for_all_and_counted(
    twins: Twins, redis: Redis
) -> None:
    await redis.set(NAME.key(twins.ada), b"unreadable", ex=300)
    assert await twins.read(twins.one) == ("Ada", Source.MONGO)
    assert twins.one.figures.redis_unreadable >= 1
    assert await twins.read(twins.two) == ("Ada", Source.REDIS)
    assert twins.two.figures.redis_unreadable == 0


@pytest.mark.parametrize(
    "occupy",
    [["SET", "x"], ["SET", "x", "EX", "3600"], ["RPUSH", "x"], ["HSET", "x", "y"]],
    ids=" ".join,
)
@pytest.mark.parametrize("prefix", ["lease", "value", "mark"])
async def test_what_others_put_under_the_keys_of_the_cache_costs_nothing_but_a_load(
    servers: RedisServers, redis: Redis, prefix: str, occupy: list[str]
) -> None:
    own: Lookup[str] = Lookup(f"own_{new_id()}", str)
    names = Names({"ada": "Ada"})
    keys = {"lease": own.lease_key("ada"), "value": own.key("ada"), "mark": mark_of(own.prefix)}
    key = keys[prefix]

    async def put() -> None:
        command, *arguments = occupy
        await redis.execute_command(command, key, *arguments)  # type: ignore[no-untyped-call]

    if prefix == "mark":
        await put()
    async with opened_cache(servers, own, names.load) as cache:
        await until(lambda: cache.breaker.closed)
        if prefix != "mark":
            await put()
        for source in (Source.MONGO, Source.REDIS):
            answered = await told(lambda: cache.values.get("ada"), Freshness.SHARED)
            assert answered[1] is source
            await cache.values.drain()
        assert cache.figures.redis_error == 0
    await redis.delete(*keys.values())


async def test_bytes_that_are_no_text_under_the_mark_of_the_cache_do_not_turn_it_off(
    servers: RedisServers, redis: Redis
) -> None:
    own: Lookup[str] = Lookup(f"own_{new_id()}", str)
    await redis.set(mark_of(own.prefix), b"\xff")
    async with opened_cache(servers, own, Names().load) as cache:
        await until(lambda: cache.breaker.closed)
        assert await redis.get(mark_of(own.prefix)) != b"\xff"
    await redis.delete(mark_of(own.prefix))


# ---- The link


async def test_when_the_link_is_cut_nothing_near_is_left_and_later_all_is_near_again(
    own_store: Store,
) -> None:
    names = Names({"ada": "Ada"})
    options = RedisOptions(own_store.uri, 10_000)
    async with (
        open_redis(options) as servers,
        opened_cache(servers, NAME, names.load) as cache,
        Redis.from_url(own_store.uri) as admin,
    ):
        await cache.until_near()
        await cache.values.get("ada")
        await cache.values.drain()
        assert (await told(lambda: cache.values.get("ada")))[1] is Source.NEAR
        assert await admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub") == 1  # type: ignore[no-untyped-call]
        await until(lambda: cache.figures.dropped >= 1)
        assert len(cache.near) == 0
        await cache.until_near()
        await cache.values.get("ada")
        assert (await told(lambda: cache.values.get("ada")))[1] is Source.NEAR
        assert names.asked == [["ada"]]


async def test_what_is_not_heard_of_for_a_lease_is_not_served_from_near(
    own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    granting_leases_for(LEASE_S, monkeypatch)
    names = Names({"ada": "Ada"})
    options = RedisOptions(own_store.uri, TIMEOUT_MS)
    near = NearOptions(entries=10, bytes=10_000, lease_s=0.5)
    async with (
        open_redis(options) as servers,
        opened_cache(servers, NAME, names.load, near_options=near, timeout_s=0.1) as cache,
    ):
        await cache.until_near()
        await hang(own_store)
        await until(lambda: cache.breaker.state is BreakerState.OPEN)
        await until(lambda: cache.near.closed)
        assert (await told(lambda: cache.values.get("ada")))[1] is Source.MONGO
        go_on(own_store)

        async def is_near() -> bool:
            answered = (await told(lambda: cache.values.get("ada")))[1]
            await cache.values.drain()
            return answered is Source.NEAR

        await until(is_near)


@pytest.mark.parametrize("message", [b"nonsense", b"", b"\xff", b"now\nname:ada"])
async def test_a_message_that_nobody_understands_empties_near_and_no_more(
    own_store: Store, message: bytes
) -> None:
    names = Names({"ada": "Ada"})
    async with (
        open_redis(RedisOptions(own_store.uri, 10_000)) as servers,
        opened_cache(servers, NAME, names.load) as cache,
        Redis.from_url(own_store.uri) as admin,
    ):
        await cache.until_near()
        await admin.publish(channel(NAME.prefix), message)
        await until(lambda: cache.figures.dropped >= 1)
        await cache.until_near()


async def test_a_cache_can_be_closed_as_soon_as_it_was_opened(servers: RedisServers) -> None:
    names = Names()
    for pause_s in (0, 0.0005, 0.001, 0.002) * 10:
        async with (
            asyncio.timeout(30),
            opened_cache(servers, NAME, names.load),
        ):
            await asyncio.sleep(pause_s)
