"""The three cached kinds of values, on stores of which each can be looked into."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from services.common.cache.wiring import CacheMode
from services.common.ids import new_id
from services.common.mongo import Mongo
from services.common.paging import Page
from services.common.redis import open_redis
from services.common.redis.one import client_of
from services.common.redis.servers import RedisOptions, RedisServers
from services.inventory import repository as inventory_repository
from services.inventory.cached import PRODUCT, CachedProducts, CachedReservations
from services.inventory.model import Product
from services.inventory.repository import MongoProducts, MongoReservations
from services.order import repository as order_repository
from services.order.cached import NEWEST_ORDERS, CachedOrders
from services.order.model import Order
from services.order.repository import MongoOrders
from services.stack.folder import DataFolder
from services.stack.stores import Store, running_redis
from services.user import repository as user_repository
from services.user.cached import USER_PROFILE, CachedUsers
from services.user.model import User
from services.user.repository import MongoUsers
from tests.integration.caches import Opened, granting_leases_for, opened_cache
from tests.integration.conftest import PATIENT_MS, emptied, new_database
from tests.integration.hanging import go_on
from tests.integration.inventory.conftest import Inventory
from tests.integration.order.conftest import Shelf
from tests.integration.patience import PATIENT_S
from tests.integration.user.conftest import People

TIMEOUT_MS = 100


@dataclass(frozen=True)
class Shop:
    """The three services' cached repositories over one MongoDB and one Redis."""

    inventory: Inventory
    shelf: Shelf
    people: People
    products: Opened[Product]
    pages: Opened[Page[Order]]
    profiles: Opened[User]
    mongo: Mongo
    redis: Redis

    async def cached(self, key: str) -> Any:
        """Return what a plain GET shows, once all fills are done; None if there is nothing."""
        await self.filled()
        raw = await self.redis.get(key)
        return None if raw is None else orjson.loads(raw)

    async def filled(self) -> None:
        """Wait until all that was loaded is in Redis."""
        for cache in (self.products, self.pages, self.profiles):
            await cache.values.drain()

    async def change_behind(self, collection: str, document_id: str, **fields: object) -> None:
        """Change a document so that no cache can know."""
        result = await self.mongo.collection(collection).update_one(
            {"_id": document_id}, {"$set": fields}
        )
        assert result.modified_count == 1


@asynccontextmanager
async def shop_on(
    mongo: Mongo, servers: RedisServers, redis: Redis, timeout_s: float = PATIENT_S
) -> AsyncIterator[Shop]:
    """Open a shop that keeps nothing near: what it reads is in Redis, or in MongoDB."""
    products, orders, users = MongoProducts(mongo), MongoOrders(mongo), MongoUsers(mongo)
    open_one = partial(opened_cache, servers, mode=CacheMode.REDIS, timeout_s=timeout_s)
    async with (
        open_one(PRODUCT, products.get_many) as of_products,
        open_one(NEWEST_ORDERS, orders.newest_of_users) as of_orders,
        open_one(USER_PROFILE, users.get_many) as of_users,
    ):
        yield Shop(
            inventory=Inventory(
                CachedProducts(products, of_products.values),
                CachedReservations(MongoReservations(mongo), of_products.values),
                mongo,
            ),
            shelf=Shelf(CachedOrders(orders, of_orders.values), mongo, new_id()),
            people=People(CachedUsers(users, of_users.values), mongo),
            products=of_products,
            pages=of_orders,
            profiles=of_users,
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
def lasting_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody load what another is loading, however slowly."""
    granting_leases_for(PATIENT_S, monkeypatch)


@pytest.fixture
async def shop(
    prepared: Mongo, servers: RedisServers, redis: Redis, lasting_leases: None
) -> AsyncIterator[Shop]:
    async with shop_on(prepared, servers, redis) as opened:
        yield opened


@pytest.fixture
async def own_store(tmp_path: Path) -> AsyncIterator[Store]:
    """A Redis that the test may stop."""
    folder = DataFolder(tmp_path)
    folder.prepare()
    async with running_redis(folder) as store:
        try:
            yield store
        finally:
            go_on(store)


@pytest.fixture
def timeout_ms() -> int:
    """How long a shop whose Redis the test may stop waits for that."""
    return TIMEOUT_MS


@pytest.fixture
async def fragile_shop(prepared: Mongo, own_store: Store, timeout_ms: int) -> AsyncIterator[Shop]:
    """A shop whose Redis the test may stop."""
    options = RedisOptions(own_store.uri, timeout_ms)
    async with (
        open_redis(options) as servers,
        client_of(RedisOptions(own_store.uri, PATIENT_MS)) as redis,
        shop_on(prepared, servers, redis, options.timeout_s) as opened,
    ):
        yield opened
