"""The stock and the orders as MongoDB has them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pymongo import AsyncMongoClient

_POLL_S = 0.05
_LONG_TRANSACTION_S = 600
_AT_REST_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Stock:
    """How many pieces of a product are where."""

    available: int
    reserved: int
    sold: int

    @property
    def total(self) -> int:
        """What a shop at rest keeps constant."""
        return self.available + self.reserved + self.sold


@dataclass(frozen=True, slots=True)
class Databases:
    """The names of the databases of one shop."""

    user: str
    inventory: str
    order: str


class Ledger:
    """Reads behind the services' backs."""

    def __init__(self, client: AsyncMongoClient[Mapping[str, Any]], names: Databases) -> None:
        self._client = client
        self._inventory = client[names.inventory]
        self._orders = client[names.order].orders
        self._users = client[names.user].users

    async def stock(self, product_id: str) -> Stock:
        """Return where the pieces of a product are now."""
        document = await self._inventory.products.find_one({"_id": product_id})
        assert document is not None
        return Stock(document["stock"], document["reserved"], document["sold"])

    async def orders(self, **query: object) -> list[Mapping[str, Any]]:
        """Return the documents of the orders with these fields."""
        return await self._orders.find(query).to_list()

    async def newest(self, user_id: str) -> list[str]:
        """Return the ids of a user's newest 20 orders, newest first."""
        newest = self._orders.find({"user_id": user_id}).sort({"create_time": -1, "_id": -1})
        return [order["_id"] async for order in newest.limit(20)]

    async def full_name(self, user_id: str) -> str:
        """Return the name of a user."""
        user = await self._users.find_one({"_id": user_id})
        assert user is not None
        return str(user["full_name"])

    async def at_rest(self, product_id: str, within_s: float = _AT_REST_WITHIN_S) -> Stock:
        """Wait until no order of the product is unsettled and nothing of it is reserved."""

        async def rested() -> bool:
            unsettled = {"settled": False, "lines.product_id": product_id}
            if await self._orders.count_documents(unsettled):
                return False
            return (await self.stock(product_id)).reserved == 0

        await eventually(rested, within_s, f"product {product_id} is not at rest")
        return await self.stock(product_id)

    @asynccontextmanager
    async def open_transaction(self, product_id: str) -> AsyncIterator[None]:
        """Hold a product as a process does that was killed while it reserved some.

        MongoDB ends no transaction meanwhile. Fails if this one is over before the block is.
        """
        async with self._long_transactions(), self._client.start_session() as session:
            await session.start_transaction()
            change = {"$inc": {"stock": -1, "reserved": 1}}
            products = self._inventory.products
            await products.update_one({"_id": product_id}, change, session=session)
            yield
            assert await products.find_one({"_id": product_id}, session=session)
            await session.abort_transaction()

    @asynccontextmanager
    async def _long_transactions(self) -> AsyncIterator[None]:
        name, admin = "transactionLifetimeLimitSeconds", self._client.admin
        before = (await admin.command({"getParameter": 1, name: 1}))[name]
        await admin.command({"setParameter": 1, name: _LONG_TRANSACTION_S})
        try:
            yield
        finally:
            await admin.command({"setParameter": 1, name: before})


async def eventually(
    holds: Callable[[], Coroutine[Any, Any, bool]], within_s: float, otherwise: str
) -> None:
    """Wait until something holds; fail with ``otherwise`` if that takes too long."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while not await holds():
        assert loop.time() < end, f"{otherwise}, {within_s:.1f} s on"
        await asyncio.sleep(_POLL_S)
