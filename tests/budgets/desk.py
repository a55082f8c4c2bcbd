"""A whole shop whose words to its stores are counted, and what is done in it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bson import Timestamp
from google.protobuf.message import Message
from pymongo import AsyncMongoClient
from pymongo.uri_parser import parse_uri
from shop.inventory.v1 import inventory_pb2 as inventory
from shop.order.v1 import order_pb2 as order
from shop.user.v1 import user_pb2 as user

from bench.figures import figures_at
from bench.gate.limits import Budget
from services.common.ids import new_id
from services.stack.services import SERVICES
from tests.budgets.wire import Heard, MongoEar, RedisEar, Wire
from tests.e2e.support.ledger import Databases, eventually
from tests.e2e.support.people import Admin, Caller, Customer, unique
from tests.e2e.support.running_shop import RunningShop, opened_shop

_START_WITHIN_S: Final = 30.0
_PATIENCE_S: Final = 20.0
_QUIET_S: Final = 0.1
_POLL_S: Final = 0.01
_TIMEOUT_S: Final = 20.0
_UNHURRIED: Final = {
    "SHOP_REDIS_TIMEOUT_MS": "20000",
    "SHOP_MONGO_TIMEOUT_MS": "20000",
    "SHOP_PEER_TIMEOUT_MS": "20000",
    "SHOP_NEAR_LEASE_MS": "600000",
    "SHOP_CONCURRENCY_LIMIT": "off",
    "SHOP_CACHE_CONTROL": "any",
    "SHOP_RECONCILE_INTERVAL_S": "86400",
}
"""Nothing depends on how fast the machine is, and the reconciler runs once, at the start."""

Act = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Desk:
    """The shop, two people in it, and what its services were heard to say."""

    shop: RunningShop
    admin: Admin
    customer: Customer
    heard: Heard
    mongo: Wire
    redis: Wire

    # ---- counting

    async def spent(self, act: Act, expected: Budget) -> tuple[Budget, str]:
        """Return what an act takes, what follows its answer included, and what was said.

        It is waited for until as much as expected was said, and then until nothing is.
        """
        await self.quiet()
        queries, trips = len(self.heard.queries), len(self.heard.redis)
        calls = await self.calls()
        await act()
        await self._until(
            lambda: (
                len(self.heard.queries) - queries >= expected.queries
                and len(self.heard.redis) - trips >= expected.redis
            )
        )
        await self.quiet()
        found = self.heard.queries[queries:], self.heard.redis[trips:]
        peers = await self.calls() - calls - 1
        return Budget(
            len(found[0]), len(found[1]), peers
        ), f"MongoDB: {found[0]}, Redis: {found[1]}"

    async def quiet(self) -> None:
        """Wait until nothing belonging to calls has been said for a while."""
        await self._until(lambda: time.monotonic() - self.heard.last_s > _QUIET_S)

    async def calls(self, method: str = "") -> int:
        """Return how many calls have begun in all services, or those of one method."""
        ports = self.shop.settings.ports
        found = [
            await figures_at(
                getattr(ports, f"{service}_metrics"), "grpc_server_started_total", "grpc_method"
            )
            for service in SERVICES
        ]
        return sum(
            count
            for page in found
            for (name,), count in page.items()
            if name == method or not method
        )

    @staticmethod
    async def _until(holds: Callable[[], bool]) -> None:
        """Wait until something holds, or does not look as if it ever would."""
        end = time.monotonic() + _PATIENCE_S
        while not holds() and time.monotonic() < end:  # noqa: ASYNC110 (others bring it about)
            await asyncio.sleep(_POLL_S)

    # ---- calling

    async def call(
        self, method: str, request: Message, who: Caller | None = None, freshness: str = ""
    ) -> Any:
        """Call any method, as the customer unless somebody else is named."""
        return (await self.told(method, request, who, freshness))[0]

    async def told(
        self, method: str, request: Message, who: Caller | None = None, freshness: str = ""
    ) -> tuple[Any, str]:
        """Do as ``call``, and tell also where the answer is from."""
        token = (who or self.customer).token
        metadata = [("authorization", f"Bearer {token}")] if token else []
        if freshness:
            metadata.append(("cache-control", freshness))
        called: Any = self.shop.method(method)(
            request, timeout=_TIMEOUT_S, metadata=metadata, wait_for_ready=True
        )
        answer = await called
        told = (await called.trailing_metadata()).get("x-cache", "")
        return answer, told.partition(";")[0]

    async def product(self, product_id: str, freshness: str = "") -> str:
        """Read a product; return where it is from."""
        request = inventory.GetProductRequest(product_id=product_id)
        return (await self.told("GetProduct", request, freshness=freshness))[1]

    async def batch(self, product_ids: Sequence[str], freshness: str = "") -> str:
        """Read many products; return where they are from."""
        request = inventory.BatchGetProductsRequest(product_ids=product_ids)
        return (await self.told("BatchGetProducts", request, freshness=freshness))[1]

    async def profile(self, who: Customer, freshness: str = "") -> str:
        """Read somebody's own profile; return where it is from."""
        request = user.GetUserProfileRequest(user_id=who.user_id)
        return (await self.told("GetUserProfile", request, who, freshness))[1]

    async def orders(self, who: Customer, freshness: str = "") -> str:
        """List somebody's own orders; return where they are from."""
        request = order.ListUserOrdersRequest(user_id=who.user_id)
        return (await self.told("ListUserOrders", request, who, freshness))[1]

    @staticmethod
    async def until_near(read: Callable[[], Awaitable[str]]) -> None:
        """Read until it is answered from memory: then Redis has it, and nothing is under way."""

        async def is_near() -> bool:
            return await read() == "near"

        await eventually(is_near, _START_WITHIN_S, "it is not near")

    # ---- what there is

    async def stocked(self, count: int, stock: int = 10) -> list[str]:
        """Add so many products and return their ids."""
        return [await self.admin.add_product(stock) for _ in range(count)]

    async def somebody(self) -> Customer:
        """Return a customer whom nobody knows yet."""
        return await self.shop.customer()

    def basket(self, product_ids: Sequence[str]) -> order.CreateOrderRequest:
        """Return a new order of one piece of each product."""
        items = [order.OrderItem(product_id=product_id, quantity=1) for product_id in product_ids]
        return order.CreateOrderRequest(request_id=unique("basket"), items=items)

    async def ordered(self) -> order.Order:
        """Place an order of three products, of which Redis knows what the services know."""
        answer: order.CreateOrderResponse = await self.call(
            "CreateOrder", self.basket(await self.stocked(3))
        )
        await self.at_rest(answer.order)
        return answer.order

    async def at_rest(self, placed: order.Order) -> None:
        """Wait until what follows a confirmation is done."""
        await self.shop.ledger.at_rest(placed.lines[0].product_id)
        await self.quiet()

    def reservation(self, product_ids: Sequence[str]) -> inventory.ReserveStockRequest:
        """Return a new reservation of one piece of each product."""
        items = [inventory.ReservationItem(product_id=p, quantity=1) for p in product_ids]
        return inventory.ReserveStockRequest(reservation_id=new_id(), items=items)

    async def reserved(self) -> inventory.ReserveStockRequest:
        """Reserve three products and return with what request."""
        request = self.reservation(await self.stocked(3))
        await self.call("ReserveStock", request, self.shop.service)
        return request


@asynccontextmanager
async def opened_desk(path: Path, mongo_uri: str, redis_url: str) -> AsyncIterator[Desk]:
    """Run a shop of which every word to the stores is heard.

    Somebody else seems to watch the changes already, so that the processes do not: what was
    invalidated is not invalidated once more at a time of its own.
    """
    heard = Heard()
    mongo = Wire(*_address(mongo_uri), lambda: MongoEar(heard))
    redis = Wire(*_address(redis_url), lambda: RedisEar(heard))
    names = Databases(*(f"budgets_{new_id()}_{service}" for service in SERVICES))
    await _take_watches(mongo_uri, names)
    async with AsyncExitStack() as opened:
        for wire in (mongo, redis):
            await opened.enter_async_context(wire.listening())
        shop = await opened.enter_async_context(
            opened_shop(
                path,
                mongo_uri=f"mongodb://127.0.0.1:{mongo.port}/?directConnection=true",
                redis_url=f"redis://127.0.0.1:{redis.port}{urlsplit(redis_url).path}",
                ledger_uri=mongo_uri,
                databases=names,
                keys=None,
                **_UNHURRIED,
            )
        )
        # Its reconciler now finds the others, and does not come back in the middle of a test.
        await shop.restart("order")
        desk = Desk(shop, await shop.admin(), await shop.customer(), heard, mongo, redis)
        await _settled(desk)
        yield desk


def _address(uri: str) -> tuple[str, int]:
    if uri.startswith("mongodb"):
        host, port = parse_uri(uri)["nodelist"][0]
        return host, port or 27017
    parts = urlsplit(uri)
    return parts.hostname or "127.0.0.1", parts.port or 6379


async def _take_watches(mongo_uri: str, names: Databases) -> None:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo_uri)
    async with client:
        for database in (names.user, names.inventory, names.order):
            await client[database]["cache_backstop"].insert_one(
                {
                    "_id": "cache",
                    "holder": "budgets",
                    "expire_time": datetime.now(UTC) + timedelta(days=1),
                    "position": {"time": Timestamp(1, 1), "token": None},
                }
            )


async def _settled(desk: Desk) -> None:
    """Wait until the first round of the reconciler is over."""
    port = desk.shop.settings.ports.order_metrics

    async def is_over() -> bool:
        return bool(await figures_at(port, "grpc_client_handled_total", "grpc_method"))

    await eventually(is_over, _START_WITHIN_S, "the reconciler has asked nobody")
