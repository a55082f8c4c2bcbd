"""Two processes do whatever they may in any order, on real stores: what they read is true.

Beside reads and writes there happens what happens to a Redis: keys expire, connections break,
somebody writes nonsense, everything is deleted.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, NamedTuple, TypeVar

import pytest
import uvloop
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from services.common.cache.hold import prepare_backstop
from services.common.cache.near import NearOptions
from services.common.cache.read_through import ReadThroughCache
from services.common.cache.wiring import CacheMode, CacheOptions, open_cache
from services.common.call import Call, enter_call
from services.common.freshness import Freshness
from services.common.ids import new_id
from services.common.money import Money
from services.common.mongo import MongoDriver, MongoOptions, open_mongo
from services.common.redis.one import client_of
from services.common.redis.servers import RedisOptions
from services.inventory.cached import PRODUCT, CachedProducts, CachedReservations
from services.inventory.model import (
    Adjustment,
    Product,
    ProductDraft,
    ProductNotFound,
    ProductReserved,
    ReservationItem,
)
from services.inventory.repository import (
    PRODUCT_CHANGES,
    MongoProducts,
    MongoReservations,
    prepare_schema,
)
from tests.integration.inventory.conftest import OWNER

pytestmark = pytest.mark.timeout(600)

PATIENT_MS: Final = 10_000
HEARD_WITHIN_S: Final = 20.0
STOCK: Final = 1_000

SIDES = st.integers(0, 1)
FRESHNESS = st.sampled_from(Freshness)

Result = TypeVar("Result")


class Untrue(AssertionError):
    """A read showed what is not so."""


class Shown(NamedTuple):
    """What a read shows of a product."""

    name: str
    stock: int
    version: int


@dataclass(frozen=True)
class Side:
    """One process's way to the products."""

    products: CachedProducts
    reservations: CachedReservations
    cache: ReadThroughCache[Product]

    async def read(self, product_id: str, freshness: Freshness) -> Shown | None:
        return (await self.read_many([product_id], freshness))[product_id]

    async def read_one(self, product_id: str, freshness: Freshness) -> Shown | None:
        with_freshness(freshness)
        try:
            return shown((await self.products.get(product_id)).value)
        except ProductNotFound:
            return None

    async def read_many(
        self, product_ids: list[str], freshness: Freshness
    ) -> Mapping[str, Shown | None]:
        with_freshness(freshness)
        found = await self.products.get_many(product_ids)
        return {
            product_id: shown(found[product_id].value) if product_id in found else None
            for product_id in product_ids
        }

    async def told(self, product_id: str) -> None:
        """Wait until Redis has been told of all that this process wrote."""
        async with asyncio.timeout(HEARD_WITHIN_S):
            while True:
                if not self.cache._invalidations.owes([product_id]):
                    return
                await asyncio.sleep(0.01)


@dataclass(frozen=True)
class World:
    """Two processes, and a way into Redis behind their backs."""

    loop: asyncio.AbstractEventLoop
    sides: tuple[Side, Side]
    redis: Redis

    def run(self, work: Awaitable[Result]) -> Result:
        return self.loop.run_until_complete(work)


def shown(product: Product) -> Shown:
    return Shown(product.name, product.stock, product.version)


def with_freshness(freshness: Freshness) -> None:
    call = Call()
    call.freshness = freshness
    enter_call(call)


def draft(name: str) -> ProductDraft:
    return ProductDraft(new_id(), name, "", "lamps", Money("EUR", 1_00), STOCK, ())


class Shop(RuleBasedStateMachine):
    """What the processes do, and what is true after it."""

    known = Bundle("known")
    held = Bundle("held")

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.truth: dict[str, Shown | None] = {}
        self.writer: dict[str, int] = {}
        self.reserved: dict[str, int] = {}

    @initialize(target=known)
    def first(self) -> str:
        return self._created(0)

    @rule(target=known, side=SIDES)
    def create(self, side: int) -> str:
        return self._created(side)

    @rule(product_id=known, side=SIDES, number=st.integers(0, 99))
    def update(self, product_id: str, side: int, number: int) -> None:
        try:
            product = self.world.run(self._renamed(side, product_id, f"name {number}"))
        except ProductNotFound:
            assert self.truth[product_id] is None
        else:
            self._wrote(side, product_id, shown(product))

    @rule(product_id=known, side=SIDES)
    def remove(self, product_id: str, side: int) -> None:
        try:
            self.world.run(self.world.sides[side].products.remove(product_id))
        except ProductNotFound:
            assert self.truth[product_id] is None
        except ProductReserved:
            assert self.reserved[product_id]
        else:
            self._wrote(side, product_id, None)

    @rule(product_id=known, side=SIDES, by=st.sampled_from([-3, 5]))
    def adjust(self, product_id: str, side: int, by: int) -> None:
        adjustment = Adjustment(new_id(), product_id, by)
        try:
            self.world.run(self.world.sides[side].products.adjust(adjustment))
        except ProductNotFound:
            assert self.truth[product_id] is None
        else:
            was = self.truth[product_id]
            assert was is not None
            self._wrote(side, product_id, was._replace(stock=was.stock + by))

    @rule(target=held, product_id=known, side=SIDES)
    def reserve(self, product_id: str, side: int) -> tuple[str, str]:
        reservation_id = new_id()
        items = [ReservationItem(product_id, 1)]
        try:
            self.world.run(
                self.world.sides[side].reservations.reserve(OWNER, reservation_id, items)
            )
        except ProductNotFound:
            assert self.truth[product_id] is None
            return product_id, ""
        self._moved(side, product_id, -1)
        return product_id, reservation_id

    @rule(hold=consumes(held), side=SIDES)
    def release(self, hold: tuple[str, str], side: int) -> None:
        product_id, reservation_id = hold
        if reservation_id:
            self.world.run(self.world.sides[side].reservations.release(OWNER, reservation_id))
            self._moved(side, product_id, 1)

    @rule(product_id=known, side=SIDES, freshness=FRESHNESS)
    def read(self, product_id: str, side: int, freshness: Freshness) -> None:
        seen = self.world.run(self.world.sides[side].read_one(product_id, freshness))
        self._check(side, product_id, freshness, seen)

    @rule(side=SIDES, freshness=FRESHNESS)
    def read_everything(self, side: int, freshness: Freshness) -> None:
        seen = self.world.run(self.world.sides[side].read_many([*self.truth], freshness))
        for product_id in self.truth:
            self._check(side, product_id, freshness, seen[product_id])

    @rule(product_id=known, side=SIDES, freshness=FRESHNESS)
    def read_while_it_changes(self, product_id: str, side: int, freshness: Freshness) -> None:
        old = self.truth[product_id]
        if old is None:
            return
        product, *seen = self.world.run(self._race(side, product_id, freshness))
        self._wrote(side, product_id, shown(product))
        if freshness is not Freshness.NEAR:
            self._ensure(set(seen) <= {old, shown(product)}, product_id, seen)

    @rule(product_id=known)
    def the_value_expires(self, product_id: str) -> None:
        self.world.run(self.world.redis.delete(PRODUCT.key(product_id)))

    @rule(product_id=known)
    def the_lease_expires(self, product_id: str) -> None:
        self.world.run(self.world.redis.delete(PRODUCT.lease_key(product_id)))

    @rule(product_id=known, nonsense=st.binary(max_size=20))
    def somebody_writes_nonsense(self, product_id: str, nonsense: bytes) -> None:
        self.world.run(self.world.redis.set(PRODUCT.key(product_id), nonsense))

    @rule(product_id=known, other_id=known)
    def somebody_copies_a_value(self, product_id: str, other_id: str) -> None:
        if product_id != other_id:
            keys = (PRODUCT.key(product_id), PRODUCT.key(other_id))
            self.world.run(self.world.redis.copy(*keys, replace=True))

    @rule()
    def everything_is_deleted(self) -> None:
        self.world.run(self.world.redis.flushall())

    @rule(kind=st.sampled_from(["normal", "pubsub"]))
    def connections_break(self, kind: str) -> None:
        self.world.run(self.world.redis.client_kill_filter(_type=kind, skipme=True))

    def _created(self, side: int) -> str:
        product = self.world.run(self.world.sides[side].products.add(draft("new")))
        self._wrote(side, product.product_id, shown(product))
        return product.product_id

    def _wrote(self, side: int, product_id: str, truth: Shown | None) -> None:
        self.truth[product_id] = truth
        self.writer[product_id] = side
        self.reserved.setdefault(product_id, 0)
        self.world.run(self.world.sides[side].told(product_id))

    def _moved(self, side: int, product_id: str, by: int) -> None:
        was = self.truth[product_id]
        assert was is not None
        self.reserved[product_id] -= by
        self._wrote(side, product_id, was._replace(stock=was.stock + by))

    def _check(self, side: int, product_id: str, freshness: Freshness, seen: Shown | None) -> None:
        """See that a read shows the truth; a near one of what another wrote, as soon as told."""
        if freshness is Freshness.NEAR and self.writer[product_id] != side:
            self.world.run(self._becomes_true(side, product_id))
        else:
            self._ensure(seen == self.truth[product_id], product_id, seen)

    def _ensure(self, true: bool, product_id: str, seen: object) -> None:  # noqa: FBT001
        if not true:
            raise Untrue(f"{product_id} is {self.truth[product_id]}, and was read as {seen}")

    async def _becomes_true(self, side: int, product_id: str) -> None:
        """Read until the truth is shown. A read that fails, or hangs, is no untrue one."""
        reader, end = self.world.sides[side], monotonic() + HEARD_WITHIN_S
        while (seen := await reader.read(product_id, Freshness.NEAR)) != self.truth[product_id]:
            self._ensure(monotonic() < end, product_id, seen)
            await asyncio.sleep(0.001)

    async def _renamed(self, side: int, product_id: str, name: str) -> Product:
        return await self.world.sides[side].products.update(product_id, draft(name), ["name"], 0)

    async def _race(self, side: int, product_id: str, freshness: Freshness) -> list[Any]:
        readers = [self.world.sides[number % 2].read(product_id, freshness) for number in range(6)]
        late = [self.world.sides[side].read(product_id, freshness) for _ in range(2)]
        return await asyncio.gather(self._renamed(side, product_id, "raced"), *readers, *late)


@asynccontextmanager
async def open_side(mongo_uri: str, redis_url: str, database: str) -> AsyncIterator[Side]:
    options = CacheOptions(
        CacheMode.NEAR,
        NearOptions(entries=100, bytes=1_000_000, lease_s=1.0),
        RedisOptions(redis_url, PATIENT_MS),
    )
    async with open_mongo(
        MongoOptions(mongo_uri, MongoDriver.PYMONGO, PATIENT_MS), database
    ) as mongo:
        await prepare_schema(mongo)
        await prepare_backstop(mongo)
        products = MongoProducts(mongo)
        async with open_cache(PRODUCT, products.get_many, mongo, PRODUCT_CHANGES, options) as cache:
            yield Side(
                CachedProducts(products, cache.values),
                CachedReservations(MongoReservations(mongo), cache.values),
                cache.values,
            )


@contextmanager
def world(mongo_uri: str, redis_url: str) -> Iterator[World]:
    """Open both processes on a loop of their own: hypothesis knows no coroutines."""
    loop = uvloop.new_event_loop()
    stack = AsyncExitStack()
    database = f"test_{new_id()}"
    try:
        first, second = (
            loop.run_until_complete(
                stack.enter_async_context(open_side(mongo_uri, redis_url, database))
            )
            for _ in range(2)
        )
        redis = client_of(RedisOptions(redis_url, PATIENT_MS))
        stack.push_async_callback(redis.aclose)
        yield World(loop, (first, second), redis)
    finally:
        loop.run_until_complete(stack.aclose())
        loop.run_until_complete(asyncio.sleep(0.1))  # connections close in the turns after it
        loop.close()


def play(opened: World, *, mutant: bool = False) -> None:
    """Do many things in many orders, as the profile says; with a mutant, until it is met."""
    profile = settings.get_profile("fixed") if mutant else settings()

    class ShopHere(Shop):
        def __init__(self) -> None:
            super().__init__(opened)

    run_state_machine_as_test(
        ShopHere,
        settings=settings(
            profile,
            max_examples=profile.max_examples * 2 // 5,
            stateful_step_count=30,
            database=None,
            phases=[Phase.generate] if mutant else [Phase.generate, Phase.shrink],
            report_multiple_bugs=not mutant,
            suppress_health_check=list(HealthCheck),
        ),
    )


def play_until_untrue(opened: World) -> None:
    """Play until something untrue is read; whatever else goes wrong is raised."""
    with pytest.raises((Untrue, FlakyFailure)) as caught:
        play(opened, mutant=True)
    # The backstop may mend it before Hypothesis plays it again: then it is flaky, and was untrue.
    assert isinstance(caught.value, Untrue) or caught.group_contains(Untrue)


@pytest.mark.hypothesis
def test_whatever_two_processes_do_what_they_read_is_true(mongo_uri: str, redis_url: str) -> None:
    with world(mongo_uri, redis_url) as opened:
        play(opened)


def test_a_read_that_fails_is_not_taken_for_an_untrue_one(
    monkeypatch: pytest.MonkeyPatch, mongo_uri: str, redis_url: str
) -> None:
    async def hang(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(CachedProducts, "get", hang)
    monkeypatch.setattr(CachedProducts, "get_many", hang)
    with world(mongo_uri, redis_url) as opened, pytest.raises(TimeoutError):
        play_until_untrue(opened)
