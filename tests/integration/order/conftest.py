"""The Order's repository."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import pytest

from services.common.clock import utc_now
from services.common.ids import new_id
from services.common.money import Money
from services.common.mongo import Mongo
from services.common.redis.servers import RedisServers
from services.order.cached import NEWEST_ORDERS, CachedOrders
from services.order.model import Checkout, Order, OrderItem, OrderLine
from services.order.ports import Orders
from services.order.repository import MongoOrders, prepare_schema
from tests.integration.caches import opened_cache
from tests.integration.conftest import emptied, new_database

ITEMS = (OrderItem("a" * 24, 2), OrderItem("b" * 24, 1))
LINES = (
    OrderLine("a" * 24, 2, "Red Lamp", Money("EUR", 19_99)),
    OrderLine("b" * 24, 1, "Blue Chair", Money("EUR", 1)),
)


def begun(user_id: str, request_id: str = "", now: datetime | None = None) -> Checkout:
    """Return a new checkout that nobody has stored yet."""
    return Checkout.begin(new_id(), user_id, request_id or new_id(), ITEMS, now or utc_now())


@dataclass(frozen=True)
class Shelf:
    """All orders, and a customer whom no other test has."""

    orders: Orders
    mongo: Mongo
    user_id: str

    async def ordered(self, count: int, now: datetime | None = None) -> list[Order]:
        """Store orders of the customer and return them, oldest first."""
        opened = [await self.orders.open(begun(self.user_id, now=now)) for _ in range(count)]
        return [checkout.order for checkout in opened]

    async def walk(self, size: int) -> list[list[Order]]:
        """Return the customer's orders page by page."""
        pages = []
        token = ""
        while True:
            page = (await self.orders.page_of_user(self.user_id, size, token)).value
            pages.append(list(page.items))
            token = page.next_page_token
            if not token:
                return pages


@asynccontextmanager
async def shelf_on(mongo: Mongo, redis: RedisServers, user_id: str) -> AsyncIterator[Shelf]:
    orders = MongoOrders(mongo)
    async with opened_cache(redis, NEWEST_ORDERS, orders.newest_of_users) as cache:
        yield Shelf(CachedOrders(orders, cache.values), mongo, user_id)


@pytest.fixture(scope="package")
def database() -> str:
    return new_database()


@pytest.fixture
async def shelf(mongo: Mongo, servers: RedisServers) -> AsyncIterator[Shelf]:
    await prepare_schema(mongo)
    await emptied(mongo, "orders")
    async with shelf_on(mongo, servers, new_id()) as opened:
        yield opened


@pytest.fixture
async def rival(
    shelf: Shelf, rival_mongo: Mongo, rival_servers: RedisServers
) -> AsyncIterator[Shelf]:
    """The same orders in another process."""
    async with shelf_on(rival_mongo, rival_servers, shelf.user_id) as opened:
        yield opened
