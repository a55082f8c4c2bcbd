"""A database for each test, and the Redis they share.

Where preparing a database takes longer than the test, the tests of a folder share one, which is
emptied before each. What tests put into Redis stands under ids that no other test has.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from services.common.ids import new_id
from services.common.mongo import Mongo, MongoDriver, MongoOptions, open_mongo
from services.common.redis import open_redis
from services.common.redis.one import client_of
from services.common.redis.servers import RedisOptions, RedisServers
from services.stack.binaries import find_mongod
from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports
from services.stack.processes import running
from services.stack.stores import TRANSACTION_LIFETIME_S
from tests.forks import Forks, forking

PATIENT_MS = 30_000
STARTED_WITHIN_MS = 60_000
LASTING_S = 120


# For what services.common.mongo promises; what stands on it sees no driver.
EACH_DRIVER = pytest.mark.parametrize("driver", list(MongoDriver))


@pytest.fixture
def driver() -> MongoDriver:
    """The services' own choice."""
    return MongoDriver.PYMONGO


def new_database() -> str:
    """Return a name that no other test has."""
    return f"test_{new_id()}"


async def emptied(mongo: Mongo, *collections: str) -> Mongo:
    """Delete what an earlier test left."""
    for name in collections:
        await mongo.collection(name).delete_many({})
    return mongo


@pytest.fixture(scope="session")
async def forks() -> AsyncIterator[Forks]:
    async with forking() as opened:
        yield opened


@pytest.fixture(scope="session")
async def lone_mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A MongoDB that is no replica set."""
    folder = DataFolder(tmp_path_factory.mktemp("lone"))
    folder.prepare()
    with claimed_ports(1) as (port,):
        command = [
            str(await find_mongod()),
            *("--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"),
            *("--dbpath", str(folder.mongodb), "--wiredTigerCacheSizeGB", "0.25"),
        ]
        uri = f"mongodb://127.0.0.1:{port}"
        options = MongoOptions(uri, MongoDriver.PYMONGO, STARTED_WITHIN_MS)
        async with running("mongod", command, folder.log("mongod")):
            async with open_mongo(options, "admin") as mongo:
                await mongo.ping()
            yield uri


@pytest.fixture
def database() -> str:
    return new_database()


@pytest.fixture
async def mongo(mongo_uri: str, driver: MongoDriver, database: str) -> AsyncIterator[Mongo]:
    async with open_mongo(MongoOptions(mongo_uri, driver, PATIENT_MS), database) as opened:
        yield opened


@pytest.fixture
async def rival_mongo(mongo_uri: str, driver: MongoDriver, database: str) -> AsyncIterator[Mongo]:
    """Another client of the same database, as another process has."""
    async with open_mongo(MongoOptions(mongo_uri, driver, PATIENT_MS), database) as opened:
        yield opened


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A plain client, to look into what the services see as ``servers``."""
    async with client_of(RedisOptions(redis_url, PATIENT_MS)) as client:
        yield client


@pytest.fixture
async def servers(redis_url: str) -> AsyncIterator[RedisServers]:
    async with open_redis(RedisOptions(redis_url, PATIENT_MS)) as opened:
        yield opened


@pytest.fixture
async def rival_servers(redis_url: str) -> AsyncIterator[RedisServers]:
    """Another client of the same Redis, as another process has."""
    async with open_redis(RedisOptions(redis_url, PATIENT_MS)) as opened:
        yield opened


@pytest.fixture
async def lasting_transactions(mongo_uri: str) -> AsyncIterator[None]:
    """Let MongoDB end no transaction: whoever waits for one left open waits longer than it may."""

    async def limit(seconds: int) -> None:
        await client.admin.command({"setParameter": 1, "transactionLifetimeLimitSeconds": seconds})

    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo_uri)
    async with client:
        await limit(LASTING_S)
        try:
            yield
        finally:
            await limit(TRANSACTION_LIFETIME_S)
