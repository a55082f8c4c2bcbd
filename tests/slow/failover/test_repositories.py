"""What the services' access to MongoDB promises while a replica set changes its primary.

Elections take seconds: both drivers, each on a database of its own, go through the same ones.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
from bson import Int64
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from services.common.cache.hold import prepare_backstop
from services.common.ids import new_id
from services.common.mongo import (
    Mongo,
    MongoDriver,
    MongoOptions,
    StoreUnavailable,
    as_domain_error,
    open_mongo,
)
from services.common.paging import DEFAULT_PAGE_SIZE
from services.common.transaction import Session
from services.inventory import repository as inventory
from services.inventory.model import (
    Adjustment,
    HeldFilter,
    Product,
    ProductFilter,
    ReservationItem,
)
from services.inventory.repository import MongoProducts, MongoReservations
from services.order.model import Checkout, OrderNotFound
from services.order.repository import MongoOrders, prepare_schema
from services.user.model import Account, RefreshToken
from services.user.repository import MongoSessions, MongoUsers
from services.user.repository import prepare_schema as prepare_users
from tests.integration.backstop.conftest import NotedCache, watching
from tests.integration.conftest import PATIENT_MS, new_database
from tests.integration.inventory.conftest import LAMP, OWNER
from tests.integration.order.conftest import begun
from tests.integration.patience import until
from tests.integration.user.conftest import People, someone
from tests.replica_set import Member, ReplicaSet, running_replica_set

# PyMongo's AsyncMongoClient leaves the socket open on which it was connecting when it was closed.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.timeout(300),
]

ELECTION_TIMEOUT_MS = 4_000  # a primary that stands still for a moment goes on
ELECTED_WITHIN_S = 60.0
FETCHES_NOTHING = "stopReplProducer"
SHORT_MS = 300
HASTY_MS = 2_000
EVEN_NEW_S = -60.0
PASSING_CODES = {
    6: "HostUnreachable",
    7: "HostNotFound",
    43: "CursorNotFound",
    89: "NetworkTimeout",
    91: "ShutdownInProgress",
    133: "FailedToSatisfyReadPreference",
    134: "ReadConcernMajorityNotAvailableYet",
    189: "PrimarySteppedDown",
    202: "NetworkInterfaceExceededTimeLimit",
    262: "ExceededTimeLimit",
    9001: "SocketException",
    10107: "NotWritablePrimary",
    11600: "InterruptedAtShutdown",
    11602: "InterruptedDueToReplStateChange",
    13435: "NotPrimaryNoSecondaryOk",
    13436: "NotPrimaryOrSecondary",
}


Databases = list[tuple[str, MongoDriver]]


@pytest.fixture(scope="module")
async def replica_set(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ReplicaSet]:
    # Each follows the primary itself, so that a test can keep one of them behind.
    path = tmp_path_factory.mktemp("set")
    async with running_replica_set(path, ELECTION_TIMEOUT_MS, chainingAllowed=False) as running:
        yield running


@asynccontextmanager
async def opened(uri: str, databases: Databases, timeout_ms: int) -> AsyncIterator[list[Mongo]]:
    """Open the databases, each through its driver."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_mongo(MongoOptions(uri, driver, timeout_ms), name))
            for name, driver in databases
        ]


@pytest.fixture
def databases() -> Databases:
    return [(new_database(), driver) for driver in MongoDriver]


@pytest.fixture
async def mongos(replica_set: ReplicaSet, databases: Databases) -> AsyncIterator[list[Mongo]]:
    """A database for either driver."""
    await replica_set.whole()
    async with opened(replica_set.uri, databases, PATIENT_MS) as both:
        yield both


@asynccontextmanager
async def failing(member: Member, point: str, **data: object) -> AsyncIterator[int]:
    """Have a server fail as it may, on purpose, until the end of the block.

    Yields how often it has failed so before.
    """
    words = {"configureFailPoint": point, "mode": "alwaysOn", "data": data}
    answer = await member.command(words)
    try:
        yield int(answer["count"])
    finally:
        if member.child is not None:
            await member.command({"configureFailPoint": point, "mode": "off"})


@asynccontextmanager
async def kept_behind(*followers: Member) -> AsyncIterator[None]:
    """Have servers fetch nothing until the end of the block, when they have noticed that."""
    async with AsyncExitStack() as stack:
        told = [
            (one, await stack.enter_async_context(failing(one, FETCHES_NOTHING)))
            for one in followers
        ]
        for one, times in told:
            await one.command(
                {
                    "waitForFailPoint": FETCHES_NOTHING,
                    "timesEntered": Int64(times + 1),
                    "maxTimeMS": int(ELECTED_WITHIN_S * 1000),
                }
            )
        yield


async def increment(mongo: Mongo, session: Session | None = None) -> None:
    await mongo.collection("things").update_one(
        {"_id": "a"}, {"$inc": {"count": 1}}, upsert=True, session=session
    )


async def lasting_count(mongo: Mongo) -> int:
    async with asyncio.timeout(ELECTED_WITHIN_S):
        while True:
            try:
                (document,) = await mongo.lasting("things").find({"_id": "a"}).to_list(1)
            except PyMongoError:
                continue
            return int(document["count"])


async def test_what_is_read_for_the_cache_is_as_new_as_acknowledged_right_after_an_election(
    replica_set: ReplicaSet, mongos: list[Mongo]
) -> None:
    for mongo in mongos:
        await increment(mongo)
        assert await lasting_count(mongo) == 1
    primary = await replica_set.primary()
    _, behind = await replica_set.secondaries()

    async with kept_behind(behind):
        # The follower that is to be elected gets the write, and not the news that it has come to
        # a majority.
        async with failing(
            primary,
            "failCommand",
            failCommands=["getMore"],
            failInternalCommands=True,
            blockConnection=True,
            blockTimeMS=60_000,
        ):
            for mongo in mongos:
                await increment(mongo)
            await primary.kill()
        await replica_set.primary()
        readings = [asyncio.create_task(lasting_count(mongo)) for mongo in mongos]
        # Nothing new comes to a majority meanwhile, and what is old is not told.
        await asyncio.wait(readings, timeout=1.0)
    assert await asyncio.gather(*readings) == [2, 2]

    await primary.start()


async def test_the_backstop_goes_on_at_the_primary_that_was_elected(
    replica_set: ReplicaSet, mongos: list[Mongo]
) -> None:
    client: AsyncMongoClient[Mapping[str, Any]] = AsyncMongoClient(replica_set.uri)
    async with client, AsyncExitStack() as watches:
        caches = [NotedCache() for _ in mongos]
        for mongo, cache in zip(mongos, caches, strict=True):
            await prepare_backstop(mongo)
            await watches.enter_async_context(watching(mongo, cache))
        things = [client[mongo._database.name].things for mongo in mongos]
        for collection, cache in zip(things, caches, strict=True):
            await collection.insert_one({"_id": "before"})
            await cache.has("before")
        primary = await replica_set.primary()
        await primary.kill()
        for collection, cache in zip(things, caches, strict=True):
            await collection.insert_one({"_id": "after"})
            await until(lambda cache=cache: cache.ids[-1] == "after")  # type: ignore[misc]
            assert list(dict.fromkeys(cache.ids)) == ["before", "after"]
            assert cache.all_forgotten == 0
    await primary.start()


async def confirm_unanswered(
    primary: Member, mongo: Mongo, hasty: Mongo, checkout: Checkout
) -> None:
    """Confirm that an order which cannot come to a majority is neither opened nor found."""
    orders = MongoOrders(mongo)
    with pytest.raises(PyMongoError) as failed:
        await MongoOrders(hasty).open(checkout)
    assert isinstance(as_domain_error(failed.value), StoreUnavailable)
    # As a primary says that finds the order while it steps down (a duplicate key, by its
    # other code: for the usual one the server wants to know more).
    async with failing(primary, "failCommand", failCommands=["update"], errorCode=11001):
        with pytest.raises(StoreUnavailable):
            await orders.open(checkout)
    with pytest.raises(OrderNotFound):
        await orders.get(checkout.order.order_id)
    for size in (5, DEFAULT_PAGE_SIZE):
        assert not (await orders.page_of_user(checkout.order.user_id, size, "")).value.items
    assert not (await orders.unsettled(EVEN_NEW_S, 10)).checkouts


async def test_an_order_that_only_one_server_has_is_no_answer_to_who_asks_for_it_again(
    replica_set: ReplicaSet, mongos: list[Mongo], databases: Databases
) -> None:
    checkout = begun(new_id())
    for mongo in mongos:
        await prepare_schema(mongo)
    primary = await replica_set.primary()
    one, other = await replica_set.secondaries()
    for mongo in mongos:
        await mongo.ping()  # it knows of the election, and waits no more for a majority
    async with opened(replica_set.uri, databases, HASTY_MS) as hasty, kept_behind(one, other):
        for mongo, alone in zip(mongos, hasty, strict=True):
            await confirm_unanswered(primary, mongo, alone, checkout)
    async with asyncio.timeout(ELECTED_WITHIN_S):
        for mongo in mongos:
            assert await MongoOrders(mongo).open(checkout) == checkout


Step = Callable[[], Awaitable[object]]

STEPS: Final = ("reserve", "reserve the last", "commit", "release", "adjust", "add")
"""What Inventory does once however often it is asked for, each about a product of its own."""


@dataclass(frozen=True)
class Stock:
    """The stock of Inventory through one client of MongoDB."""

    products: MongoProducts
    reservations: MongoReservations
    about: Mapping[str, Product]

    @classmethod
    async def prepared(cls, mongo: Mongo) -> "Stock":
        """Have a piece or two of each product: one held, one sold, and the others to be had."""
        await inventory.prepare_schema(mongo)
        products, reservations = MongoProducts(mongo), MongoReservations(mongo)
        about = {
            step: await products.add(replace(LAMP, sku=step, stock=1 + (step == "reserve")))
            for step in STEPS[:-1]
        }
        stock = cls(products, reservations, about)
        for step in ("commit", "release"):
            await reservations.reserve(OWNER, step, stock.piece(step))
        await reservations.commit(OWNER, "release")
        return stock

    def through(self, mongo: Mongo) -> "Stock":
        return replace(self, products=MongoProducts(mongo), reservations=MongoReservations(mongo))

    def piece(self, step: str) -> list[ReservationItem]:
        return [ReservationItem(self.about[step].product_id, 1)]

    def steps(self) -> list[Step]:
        """Return each of the steps, to be taken once more every time."""
        adjustment = Adjustment("adjust", self.about["adjust"].product_id, -1)
        return [
            lambda: self.reservations.reserve(OWNER, "some", self.piece("reserve")),
            lambda: self.reservations.reserve(OWNER, "last", self.piece("reserve the last")),
            lambda: self.reservations.commit(OWNER, "commit"),
            lambda: self.reservations.release(OWNER, "release"),
            lambda: self.products.adjust(adjustment),
            lambda: self.products.add(replace(LAMP, sku="add", stock=1), "add"),
        ]

    async def listed(self) -> tuple[Mapping[str, int], set[str]]:
        """Return the stock of all products, and what is held, as the lists show it."""
        shown = await self.products.page(ProductFilter(query="lamp"), 10, "")
        held = await self.reservations.page_held(HeldFilter(OWNER), 10, "")
        return (
            {product.sku: product.stock for product in shown.items},
            {reservation.reservation_id for reservation in held.items},
        )


async def confirm_all_unanswered(steps: Sequence[Step]) -> None:
    """Confirm that of these steps, taken at once, none is answered."""
    outcomes = await asyncio.gather(*(step() for step in steps), return_exceptions=True)
    for step, outcome in zip(STEPS, outcomes, strict=True):
        assert isinstance(outcome, Exception), (step, outcome)
        error = outcome if isinstance(outcome, StoreUnavailable) else as_domain_error(outcome)
        assert isinstance(error, StoreUnavailable), (step, outcome)


async def test_a_step_that_only_one_server_has_is_no_answer_to_who_takes_it_again(
    replica_set: ReplicaSet, mongos: list[Mongo], databases: Databases
) -> None:
    stocks = [await Stock.prepared(mongo) for mongo in mongos]
    before = (dict(zip(STEPS, (2, 1, 0, 0, 1), strict=False)), {"commit"})
    after = (dict(zip(STEPS, (1, 0, 0, 1, 0, 1), strict=True)), {"some", "last"})
    one, other = await replica_set.secondaries()
    async with opened(replica_set.uri, databases, HASTY_MS) as hasty:
        for mongo in [*mongos, *hasty]:
            await mongo.ping()  # it knows of the election, and waits no more for a majority
        async with kept_behind(one, other):
            first = [asyncio.ensure_future(step()) for stock in stocks for step in stock.steps()]
            for mongo, stock, alone in zip(mongos, stocks, hasty, strict=True):

                async def all_is_done(mongo: Mongo = mongo) -> bool:
                    found = await mongo.collection("products").find({}).to_list(None)
                    return {product["sku"]: product["stock"] for product in found} == after[0]

                await until(all_is_done)
                await confirm_all_unanswered(stock.through(alone).steps())
                assert await stock.listed() == before
            assert not any(step.done() for step in first)
    await asyncio.gather(*first)
    for stock in stocks:
        await asyncio.gather(*(step() for step in stock.steps()))
        assert await stock.listed() == after


async def logged_in(mongo: Mongo) -> tuple[Account, RefreshToken]:
    """An account whose user has logged in."""
    people, token = People(MongoUsers(mongo), mongo), RefreshToken.new()
    account = await people.account(await people.registered(someone()))
    await MongoSessions(mongo, ELECTED_WITHIN_S * 10).open(account, token)
    return account, token


async def test_an_account_or_a_rotation_that_only_one_server_has_is_no_answer(
    replica_set: ReplicaSet, mongos: list[Mongo], databases: Databases
) -> None:
    await replica_set.whole()
    for mongo in mongos:
        await prepare_users(mongo)
    before = [await logged_in(mongo) for mongo in mongos]
    one, other = await replica_set.secondaries()
    async with opened(replica_set.uri, databases, HASTY_MS) as hasty, kept_behind(one, other):
        for mongo, alone, (account, token) in zip(mongos, hasty, before, strict=True):
            await mongo.ping()
            with pytest.raises(PyMongoError):
                await MongoUsers(alone).replace_password(account, "hash-2")
            assert await MongoUsers(mongo).find_account(account.user.user_id) == account
            for _ in range(2):  # the second is a repeat of the first, which a majority has not
                with pytest.raises(PyMongoError):
                    await MongoSessions(alone, ELECTED_WITHIN_S * 10).rotate(token)
    for mongo, (account, token) in zip(mongos, before, strict=True):
        _, successor = await MongoSessions(mongo, ELECTED_WITHIN_S * 10).rotate(token)
        assert await MongoSessions(mongo, ELECTED_WITHIN_S * 10).rotate(successor)
        changed = await MongoUsers(mongo).find_account(account.user.user_id)
        assert changed is not None
        assert (changed.password_hash, changed.login_epoch) == ("hash-2", 1)


async def confirm_unavailable(mongo: Mongo, what: str) -> None:
    """Confirm that nothing that was asked is said to be a fault of ours."""
    outcomes = await asyncio.gather(
        mongo.collection("things").find({}).to_list(None),
        mongo.lasting("things").find({}).to_list(None),
        mongo.collection("things").insert_one({"_id": what}),
        mongo.in_transaction(lambda session: increment(mongo, session)),
        return_exceptions=True,
    )
    for outcome in outcomes:
        assert isinstance(outcome, PyMongoError), what
        assert isinstance(as_domain_error(outcome), StoreUnavailable), (what, outcome)


async def test_a_server_that_stops_steps_down_or_loses_others_is_an_outage_by_whatever_code(
    replica_set: ReplicaSet, databases: Databases
) -> None:
    await replica_set.whole()
    primary = await replica_set.primary()
    us = new_id()
    commands = ["find", "insert", "update", "commitTransaction"]
    async with opened(f"{replica_set.uri}&appName={us}", databases, SHORT_MS) as both:
        for code, name in PASSING_CODES.items():
            async with failing(
                primary, "failCommand", failCommands=commands, errorCode=code, appName=us
            ):
                await asyncio.gather(*(confirm_unavailable(mongo, name) for mongo in both))


async def confirm_uncertain(mongo: Mongo, what: str) -> None:
    """Confirm that a write of which MongoDB says that it may not last is none of our faults."""
    with pytest.raises(PyMongoError) as failed:
        await mongo.collection("things").insert_one({"_id": what})
    assert isinstance(as_domain_error(failed.value), StoreUnavailable), what


async def test_a_write_whose_way_to_a_majority_is_interrupted_is_an_outage(
    replica_set: ReplicaSet, databases: Databases
) -> None:
    await replica_set.whole()
    primary = await replica_set.primary()
    us = new_id()
    async with opened(f"{replica_set.uri}&appName={us}", databases, SHORT_MS) as both:
        for code in (91, 189, 11600, 11602):
            async with failing(
                primary,
                "failCommand",
                failCommands=["insert", "update"],
                writeConcernError={"code": code, "errmsg": "interrupted"},
                appName=us,
            ):
                await asyncio.gather(*(confirm_uncertain(mongo, str(code)) for mongo in both))
