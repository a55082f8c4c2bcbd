"""What both drivers promise: bounded waits, errors that can be told, transactions that end."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from random import Random

import pymongo
import pytest
from pymongo.errors import (
    AutoReconnect,
    DuplicateKeyError,
    ExecutionTimeout,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)
from pymongo.uri_parser import parse_uri

from bench.proxy import opened_proxy
from services.common.call import Call, enter_call
from services.common.clock import as_utc, utc_now
from services.common.errors import DeadlineExceeded
from services.common.ids import new_id
from services.common.mongo import (
    Mongo,
    MongoDriver,
    MongoOptions,
    StoreUnavailable,
    as_domain_error,
    open_mongo,
)
from services.common.transaction import Session
from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports
from services.stack.stores import Store, running_mongod
from tests.integration.conftest import PATIENT_MS
from tests.integration.hanging import hung
from tests.integration.patience import until

# PyMongo's AsyncMongoClient leaves the socket open on which it was connecting when it was closed.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

SHORT_MS = 300
SLACK_S = 7.0  # half a second on an idle machine; what is not bounded takes ten, or for ever

Operation = Callable[[Mongo], Awaitable[object]]


@pytest.fixture(params=list(MongoDriver))
def driver(request: pytest.FixtureRequest) -> MongoDriver:
    return MongoDriver(request.param)


async def insert(mongo: Mongo, name: str, session: Session | None = None) -> None:
    await mongo.collection("things").insert_one({"_id": name, "count": 0}, session=session)


async def increment(mongo: Mongo, name: str, session: Session | None = None) -> None:
    await mongo.collection("things").update_one(
        {"_id": name}, {"$inc": {"count": 1}}, session=session
    )


async def count(mongo: Mongo, name: str) -> int | None:
    document = await mongo.collection("things").find_one({"_id": name})
    return None if document is None else int(document["count"])


OPERATIONS: dict[str, Operation] = {
    "ping": lambda mongo: mongo.ping(),
    "read": lambda mongo: count(mongo, "a"),
    "query": lambda mongo: mongo.collection("things").find({}).to_list(None),
    "write": lambda mongo: increment(mongo, "a"),
    "transaction": lambda mongo: mongo.in_transaction(
        lambda session: increment(mongo, "a", session)
    ),
    "prepare": lambda mongo: mongo.prepare("things", schema={"bsonType": "object"}),
}


@pytest.fixture(autouse=True, scope="module")
def _collect_open_sockets() -> Iterator[None]:
    """Meet what is left open here, where it is expected, and not in another test."""
    yield
    gc.collect()


@contextmanager
def within(bound_s: float) -> Iterator[None]:
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < bound_s


async def confirm_unavailable(mongo: Mongo, operation: Operation) -> None:
    with within(SHORT_MS / 1000 + SLACK_S), pytest.raises(PyMongoError) as failed:
        await operation(mongo)
    assert isinstance(as_domain_error(failed.value), StoreUnavailable)


async def answers(mongo: Mongo) -> bool:
    """Say whether MongoDB answers in time; a client that it answers has connections."""
    try:
        await mongo.ping()
    except PyMongoError:
        return False
    return True


@asynccontextmanager
async def locked(mongo: Mongo, name: str) -> AsyncIterator[None]:
    """Keep a document changed by a transaction that is not over."""
    holds, release = asyncio.Event(), asyncio.Event()

    async def hold(session: Session) -> None:
        await increment(mongo, name, session)
        holds.set()
        await release.wait()

    holder = asyncio.create_task(mongo.in_transaction(hold))
    await holds.wait()
    try:
        yield
    finally:
        release.set()
        await holder


@pytest.fixture
async def hasty(mongo_uri: str, driver: MongoDriver, database: str) -> AsyncIterator[Mongo]:
    """A client of the same database that waits for nothing long."""
    async with open_mongo(MongoOptions(mongo_uri, driver, SHORT_MS), database) as opened:
        yield opened


async def test_with_mongodb_down_everything_fails_soon_and_says_why(driver: MongoDriver) -> None:
    with claimed_ports(1) as (closed,):
        uri = f"mongodb://127.0.0.1:{closed}/?replicaSet=rs0"
        async with open_mongo(MongoOptions(uri, driver, SHORT_MS), "shop") as mongo:
            await asyncio.gather(
                *(confirm_unavailable(mongo, operation) for operation in OPERATIONS.values())
            )


async def test_what_is_promised_does_not_hang_on_the_uri(
    mongo_uri: str, driver: MongoDriver, database: str
) -> None:
    lax = f"{mongo_uri}&readPreference=secondary&w=0&retryWrites=false&retryReads=false"
    async with open_mongo(MongoOptions(lax, driver, PATIENT_MS), database) as mongo:
        for work in OPERATIONS.values():
            await work(mongo)
        await insert(mongo, "b")
        with pytest.raises(DuplicateKeyError):
            await insert(mongo, "b")
        options = mongo._client.options
        assert (options.retry_writes, options.retry_reads) == (True, True)


@pytest.fixture(scope="module")
async def own_store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    """A MongoDB that the test may stop."""
    folder = DataFolder(tmp_path_factory.mktemp("own-mongodb"))
    folder.prepare()
    async with running_mongod(folder) as store:
        yield store


async def test_with_mongodb_hung_everything_fails_soon_and_afterwards_goes_on(
    own_store: Store, driver: MongoDriver, database: str
) -> None:
    async with open_mongo(MongoOptions(own_store.uri, driver, SHORT_MS), database) as mongo:
        await until(lambda: answers(mongo))
        async with hung(own_store):
            for operation in OPERATIONS.values():
                await confirm_unavailable(mongo, operation)

        async def goes_on() -> bool:
            name = new_id()
            try:
                await mongo.in_transaction(lambda session: insert(mongo, name, session))
                return await count(mongo, name) == 0
            except PyMongoError:
                return False

        await until(goes_on)


async def test_with_mongodb_killed_everything_fails_soon_and_says_why(
    driver: MongoDriver, database: str, tmp_path: Path
) -> None:
    folder = DataFolder(tmp_path)
    folder.prepare()
    async with (
        running_mongod(folder) as store,
        open_mongo(MongoOptions(store.uri, driver, SHORT_MS), database) as mongo,
    ):
        await until(lambda: answers(mongo))
        store.child.process.kill()
        await store.child.process.wait()
        for name in ("read", "write", "transaction"):
            await confirm_unavailable(mongo, OPERATIONS[name])


@pytest.mark.parametrize(
    "error", [AutoReconnect, ServerSelectionTimeoutError, ExecutionTimeout, WTimeoutError]
)
def test_every_way_to_get_no_answer_is_an_outage(error: type[PyMongoError]) -> None:
    refusal = as_domain_error(error("mongodb://user:secret@host"))
    assert isinstance(refusal, StoreUnavailable)
    assert "secret" not in refusal.message


def test_a_fault_of_ours_is_not_taken_for_an_outage() -> None:
    assert as_domain_error(ValueError("a fault")) is None
    assert as_domain_error(PyMongoError("a fault")) is None


async def test_a_transaction_is_done_as_a_whole(mongo: Mongo) -> None:
    async def work(session: Session) -> str:
        await insert(mongo, "a", session)
        await insert(mongo, "b", session)
        assert await count(mongo, "a") is None
        return "done"

    assert await mongo.in_transaction(work) == "done"
    assert await count(mongo, "a") == await count(mongo, "b") == 0


async def test_a_transaction_that_fails_is_not_done_at_all(mongo: Mongo) -> None:
    async def work(session: Session) -> None:
        await insert(mongo, "a", session)
        raise LookupError

    with pytest.raises(LookupError):
        await mongo.in_transaction(work)
    assert await count(mongo, "a") is None
    await insert(mongo, "a")


async def test_transactions_that_meet_are_repeated_until_all_are_done(
    mongo: Mongo, rival_mongo: Mongo
) -> None:
    await insert(mongo, "a")
    await asyncio.gather(
        *(
            side.in_transaction(lambda session, side=side: increment(side, "a", session))  # type: ignore[misc]
            for side in [mongo, rival_mongo] * 20
        )
    )
    assert await count(mongo, "a") == 40


async def test_a_transaction_waits_for_another_until_its_time_is_up(
    mongo: Mongo, hasty: Mongo, lasting_transactions: None
) -> None:
    await insert(mongo, "a")
    async with locked(mongo, "a"):
        await confirm_unavailable(hasty, OPERATIONS["transaction"])
        waiting = asyncio.create_task(
            mongo.in_transaction(lambda session: increment(mongo, "a", session))
        )
        await asyncio.sleep(0.1)
    await waiting
    assert await count(mongo, "a") == 2


async def test_a_call_that_is_nearly_over_waits_no_longer(
    mongo: Mongo, lasting_transactions: None
) -> None:
    await insert(mongo, "a")

    async def call(left_s: float) -> None:
        enter_call(Call("r", deadline=asyncio.get_running_loop().time() + left_s))
        await mongo.in_transaction(lambda session: increment(mongo, "a", session))

    async with locked(mongo, "a"):
        # Nothing is asked of MongoDB by a call that was over before it could begin.
        with within(0.3 + SLACK_S), pytest.raises((PyMongoError, DeadlineExceeded)) as failed:
            await asyncio.create_task(call(0.3))
        error = failed.value
        assert isinstance(as_domain_error(error) or error, StoreUnavailable | DeadlineExceeded)
    with pytest.raises(DeadlineExceeded):
        await asyncio.create_task(call(-0.1))
    assert await count(mongo, "a") == 1


async def test_the_last_moment_of_a_call_is_left_for_its_answer(mongo: Mongo) -> None:
    async def call(operation: Operation) -> None:
        enter_call(Call("r", deadline=asyncio.get_running_loop().time() + 0.009))
        await operation(mongo)

    for name in ("read", "query", "write", "transaction"):
        with pytest.raises(DeadlineExceeded):
            await asyncio.create_task(call(OPERATIONS[name]))


async def slow_change(mongo: Mongo, session: Session) -> None:
    await increment(mongo, "a", session)
    await asyncio.sleep(2 * SHORT_MS / 1000)
    await increment(mongo, "a", session)


async def test_a_transaction_whose_time_was_up_keeps_nothing_locked(
    mongo: Mongo, hasty: Mongo, lasting_transactions: None
) -> None:
    await insert(mongo, "a")
    await confirm_unavailable(
        hasty, lambda hasty: hasty.in_transaction(lambda session: slow_change(hasty, session))
    )
    await mongo.in_transaction(lambda session: increment(mongo, "a", session))
    assert await count(mongo, "a") == 1


async def test_a_transaction_whose_work_hangs_ends_when_its_time_is_up(
    mongo: Mongo, hasty: Mongo, lasting_transactions: None
) -> None:
    await insert(mongo, "a")

    async def hang(session: Session) -> None:
        await increment(hasty, "a", session)
        await asyncio.Event().wait()

    await confirm_unavailable(hasty, lambda hasty: hasty.in_transaction(hang))
    await mongo.in_transaction(lambda session: increment(mongo, "a", session))


async def test_a_transaction_given_up_by_its_caller_is_not_done_and_keeps_nothing_locked(
    mongo: Mongo, rival_mongo: Mongo, lasting_transactions: None
) -> None:
    await insert(mongo, "a")

    async def work(gone: asyncio.Event, session: Session) -> None:
        while not gone.is_set():
            await increment(mongo, "a", session)

    for n in range(20):
        gone = asyncio.Event()
        caller = asyncio.create_task(mongo.in_transaction(partial(work, gone)))
        await asyncio.sleep(n / 4000)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        gone.set()
        await rival_mongo.in_transaction(lambda session: increment(rival_mongo, "a", session))
        assert await count(mongo, "a") == n + 1


async def test_a_database_closed_at_once_leaves_no_transaction_open(
    mongo: Mongo,
    mongo_uri: str,
    driver: MongoDriver,
    database: str,
    lasting_transactions: None,
) -> None:
    await insert(mongo, "a")
    async with open_mongo(MongoOptions(mongo_uri, driver, SHORT_MS), database) as closing:
        with pytest.raises(PyMongoError):
            await closing.in_transaction(lambda session: slow_change(closing, session))
    await mongo.in_transaction(lambda session: increment(mongo, "a", session))


async def test_dates_come_back_in_utc(mongo: Mongo) -> None:
    now = utc_now()
    await mongo.collection("things").insert_one({"_id": "a", "time": now})
    document = await mongo.collection("things").find_one({"_id": "a"})
    assert document is not None
    assert as_utc(document["time"]) == now


async def test_every_operation_on_a_collection_is_timed_once(mongo: Mongo) -> None:
    things = mongo.collection("things")
    await mongo.lasting("things").aggregate([])  # the first after an election is made twice
    before = mongo.metrics.seconds.count
    await insert(mongo, "timed")
    await things.find_one({"_id": "timed"})
    await things.find({"_id": "timed"}).to_list(None)
    await mongo.lasting("things").aggregate([{"$match": {"_id": "timed"}}])
    assert mongo.metrics.seconds.count - before == 4
    assert mongo.metrics.in_flight == 0


async def test_operations_that_found_no_mongodb_are_counted(driver: MongoDriver) -> None:
    with claimed_ports(1) as (port,):
        options = MongoOptions(f"mongodb://127.0.0.1:{port}", driver, SHORT_MS)
        async with open_mongo(options, "nowhere") as nowhere:
            with pytest.raises(PyMongoError):
                await count(nowhere, "a")
            assert (nowhere.metrics.unanswered, nowhere.metrics.in_flight) == (1, 0)


async def late(mongo: Mongo) -> None:
    """Read for 0.3 s at most."""
    with pymongo.timeout(0.3):
        await count(mongo, "a")


async def test_calls_given_up_while_mongodb_hangs_do_not_use_its_connections_up(
    mongo_uri: str,
) -> None:
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    async with opened_proxy(host, port or 27017) as proxy:
        uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        options = MongoOptions(uri, MongoDriver.PYMONGO, PATIENT_MS)
        async with open_mongo(options, "given_up") as mongo:
            for number in range(15):
                chance = Random(number)  # noqa: S311 (no secret)
                proxy.hold()
                nearly_over = [
                    asyncio.wait_for(late(mongo), 0.3 + chance.uniform(-0.02, 0.02))
                    for _ in range(10)
                ]
                await asyncio.gather(*nearly_over, return_exceptions=True)
                for calls, longest_s in ((3, 0.02), (2, 0.2)):
                    given_up = [asyncio.create_task(count(mongo, "a")) for _ in range(calls)]
                    await asyncio.sleep(chance.uniform(0, longest_s))
                    for call in given_up:
                        call.cancel()
                proxy.release()
                assert await asyncio.wait_for(count(mongo, "a"), PATIENT_MS / 1000) is None
