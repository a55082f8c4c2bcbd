"""What the groups are measured on: stores and services, started when a group first needs them."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from bench.cache_shop import (
    INVENTORY_DATABASE,
    ORDER_DATABASE,
    USER_DATABASE,
    Stores,
    running_stores,
    shop_on,
)
from bench.layers.members import Processes
from bench.seeds import seed_orders, seed_products, seed_users
from bench.stores import StoreCounts, counted
from services.stack.services import Shop, running_services

OWN_DATABASE: Final = "layers"
"""What this process reads itself: the services at work know nothing of it."""

READ_PRODUCTS: Final = 1_000
PRODUCTS: Final = 2 * READ_PRODUCTS
"""The first half is read, the second half is sold."""

READING_USERS: Final = 200
USERS: Final = 2 * READING_USERS
"""The first half has orders and reads them, the second half buys."""


@dataclass(frozen=True, slots=True)
class RunningShop:
    """The three services at work, and the process of each."""

    shop: Shop
    pids: dict[str, int]


class Setting:
    """Stores and services, each started once and stopped with the stack."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._stores: Stores | None = None
        self._counts: StoreCounts | None = None
        self._shop: RunningShop | None = None

    async def stores(self) -> Stores:
        """Return MongoDB and Redis, with products, users and orders in the services' databases."""
        if self._stores is None:
            stores = await self._stack.enter_async_context(running_stores())
            uri = stores.mongo.uri
            await seed_products(uri, INVENTORY_DATABASE, PRODUCTS)
            await seed_products(uri, OWN_DATABASE, READ_PRODUCTS)
            await seed_users(uri, USER_DATABASE, USERS)
            await seed_orders(uri, ORDER_DATABASE, READING_USERS, READ_PRODUCTS)
            self._stores = stores
        return self._stores

    async def counts(self) -> StoreCounts:
        """Return the stores' own counters."""
        if self._counts is None:
            stores = await self.stores()
            self._counts = self._stack.enter_context(counted(stores.mongo.uri, stores.redis.uri))
        return self._counts

    async def shop(self) -> RunningShop:
        """Return the services, on the native transport and with a near cache."""
        if self._shop is None:
            stores = await self.stores()
            shop = self._stack.enter_context(shop_on(stores, {}))
            children = await self._stack.enter_async_context(running_services(stores.folder, shop))
            pids = {name: child.process.pid for name, child in children.items()}
            self._shop = RunningShop(shop, pids)
        return self._shop

    async def processes(self, measured: Sequence[int] | None = None) -> Processes:
        """Return whose CPU counts: of these processes, or of this one, beside the stores."""
        stores = await self.stores()
        pids = [store.child.process.pid for store in (stores.mongo, stores.redis)]
        return Processes(stores=pids) if measured is None else Processes(measured, pids)


def own_redis(url: str) -> str:
    """Return the URL of a numbered database of Redis that the services do not use."""
    return f"{url.rpartition('/')[0]}/1"
