"""The three cached kinds of values, on stores of which each can be looked into."""

import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from services.common.cache.lookup import ReadThroughCache
from services.common.ids import new_id
from services.common.mongo import Mongo
from services.common.redis import RedisOptions, open_redis
from services.inventory import repository as inventory_repository
from services.order import repository as order_repository
from services.stack.folder import DataFolder
from services.stack.stores import Store, running_redis
from services.user import repository as user_repository
from services.user.cached import USER_PROFILE, CachedUsers
from services.user.repository import MongoUsers
from tests.integration.conftest import Wiring, emptied, new_database
from tests.integration.inventory.conftest import Inventory, inventory_on
from tests.integration.order.conftest import Shelf, shelf_on
from tests.integration.user.conftest import People

TIMEOUT_MS = 100


@dataclass(frozen=True)
class Shop:
    """The three services' cached repositories over one MongoDB and one Redis."""

    inventory: Inventory
    shelf: Shelf
    people: People
    mongo: Mongo
    redis: Redis

    async def cached(self, key: str) -> Any:
        """Return what a plain GET shows, None if there is nothing."""
        raw = await self.redis.get(key)
        return None if raw is None else orjson.loads(raw)

    async def change_behind(self, collection: str, document_id: str, **fields: object) -> None:
        """Change a document so that no cache can know."""
        result = await self.mongo.collection(collection).update_one(
            {"_id": document_id}, {"$set": fields}
        )
        assert result.modified_count == 1


def shop_on(mongo: Mongo, redis: Redis) -> Shop:
    users = CachedUsers(MongoUsers(mongo), ReadThroughCache(redis, USER_PROFILE))
    return Shop(
        inventory=inventory_on(mongo, redis, Wiring.CACHED),
        shelf=shelf_on(mongo, redis, Wiring.CACHED, new_id()),
        people=People(users, mongo),
        mongo=mongo,
        redis=redis,
    )


@pytest.fixture(scope="package")
def database() -> str:
    return new_database()


@pytest.fixture
async def prepared(mongo: Mongo) -> Mongo:
    for repository in (inventory_repository, order_repository, user_repository):
        await repository.prepare_schema(mongo)
    return await emptied(mongo, "products", "reservations", "orders", "users")


@pytest.fixture
def shop(prepared: Mongo, redis: Redis) -> Shop:
    return shop_on(prepared, redis)


@pytest.fixture
async def own_store(tmp_path: Path) -> AsyncIterator[Store]:
    """A Redis that the test may stop."""
    folder = DataFolder(tmp_path)
    folder.prepare()
    async with running_redis(folder) as store:
        try:
            yield store
        finally:
            if store.child.process.returncode is None:
                store.child.process.send_signal(signal.SIGCONT)


@pytest.fixture
async def own_redis(own_store: Store) -> AsyncIterator[Redis]:
    async with open_redis(RedisOptions(own_store.uri, TIMEOUT_MS)) as opened:
        yield opened


@pytest.fixture
def fragile_shop(prepared: Mongo, own_redis: Redis) -> Shop:
    """A shop whose Redis the test may stop."""
    return shop_on(prepared, own_redis)
