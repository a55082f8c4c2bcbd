"""A shop that answers one product read after the other, with a pause: its capacity is known."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from shop.inventory.v1 import inventory_pb2
from shop.inventory.v1.inventory_pb2_grpc import (
    InventoryServiceServicer,
    add_InventoryServiceServicer_to_server,
)
from shop.order.v1 import order_pb2
from shop.order.v1.order_pb2_grpc import OrderServiceServicer, add_OrderServiceServicer_to_server
from shop.user.v1 import user_pb2
from shop.user.v1.user_pb2_grpc import UserServiceServicer, add_UserServiceServicer_to_server

PRODUCTS = 20
_LIFETIME_S = 900
_RETRY_MS = 100


@dataclass(slots=True)
class SlowShop:
    """Where it is, and what its product reads came with: from whom, and with how much time left."""

    target: str = ""
    peers: set[str] = field(default_factory=set)
    remaining_s: list[float | None] = field(default_factory=list)


class _Products(InventoryServiceServicer):
    def __init__(self, shop: SlowShop, pause_s: float, refuse_every: int) -> None:
        self._shop = shop
        self._pause_s = pause_s
        self._refuse_every = refuse_every
        self._turn = asyncio.Lock()
        self._asked = 0

    async def ListProducts(self, request: Any, context: Any) -> Any:
        named = (f"{number:024x}" for number in range(PRODUCTS))
        products = [inventory_pb2.Product(product_id=each, category="lamps") for each in named]
        return inventory_pb2.ListProductsResponse(products=products)

    async def GetProduct(self, request: Any, context: Any) -> Any:
        self._asked += 1
        self._shop.peers.add(context.peer())
        self._shop.remaining_s.append(context.time_remaining())
        if self._refuse_every and self._asked % self._refuse_every == 0:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many")
        async with self._turn:
            await asyncio.sleep(self._pause_s)
        context.set_trailing_metadata((("x-cache", "redis; age_ms=5"),))
        return inventory_pb2.GetProductResponse(
            product=inventory_pb2.Product(product_id=request.product_id)
        )

    async def BatchGetProducts(self, request: Any, context: Any) -> Any:
        return inventory_pb2.BatchGetProductsResponse()


class _Users(UserServiceServicer):
    async def RegisterUser(self, request: Any, context: Any) -> Any:
        return user_pb2.RegisterUserResponse()

    async def AuthenticateUser(self, request: Any, context: Any) -> Any:
        answer = user_pb2.AuthenticateUserResponse(access_token="a", user_id="0" * 24)
        answer.expire_time.seconds = int(time.time()) + _LIFETIME_S
        return answer


class _Orders(OrderServiceServicer):
    async def ListUserOrders(self, request: Any, context: Any) -> Any:
        return order_pb2.ListUserOrdersResponse(orders=[order_pb2.Order()] * 20)


class _NoRoom(aio.ServerInterceptor):
    """Refuses the first calls of each method, and says when to come back."""

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self._asked: Counter[str] = Counter()

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        self._asked[details.method] += 1
        if self._asked[details.method] > self._calls:
            return await continuation(details)
        return grpc.unary_unary_rpc_method_handler(self._refuse)

    async def _refuse(self, request: Any, context: Any) -> Any:
        delay = Duration()
        delay.FromMilliseconds(_RETRY_MS)
        status = status_pb2.Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        details = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no room", details)


@asynccontextmanager
async def slow_shop(
    pause_s: float, refuse_every: int = 0, refuse_first: int = 0
) -> AsyncIterator[SlowShop]:
    """Serve all three services at one address.

    Every so many product reads are refused, and so many first calls of each method.
    """
    server = aio.server(interceptors=[_NoRoom(refuse_first)])
    shop = SlowShop()
    products = _Products(shop, pause_s, refuse_every)  # type: ignore[abstract]
    add_InventoryServiceServicer_to_server(products, server)
    add_UserServiceServicer_to_server(_Users(), server)  # type: ignore[abstract]
    add_OrderServiceServicer_to_server(_Orders(), server)  # type: ignore[abstract]
    shop.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield shop
    finally:
        await server.stop(None)
