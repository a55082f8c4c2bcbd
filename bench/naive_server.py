"""The Inventory service as tutorials write it, which ours is compared with.

``python -m bench.naive_server cached|uncached <database> <MongoDB> <Redis>`` serves GetProduct
alone. It is meant to be fair: uvloop, asyncio drivers with their defaults, one connection pool
each, one interceptor that times the calls, and nothing done twice. What it lacks is what a first
version lacks: each request goes to Redis or MongoDB by itself, what comes back is taken apart and
put together again, and an older value may be put into the cache over a newer one.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import grpc
import uvloop
from grpc import aio
from grpc_interceptor.server import AsyncServerInterceptor
from motor.motor_asyncio import AsyncIOMotorClient
from prometheus_client import Histogram
from redis.asyncio import Redis
from shop.common.v1.money_pb2 import Money
from shop.inventory.v1 import inventory_pb2, inventory_pb2_grpc

from bench.empty_server import until_input_ends

KEY: Final = "naive:product:{}"
TTL_S: Final = 300
_SECONDS: Final = Histogram("naive_seconds", "How long calls took.", ["method"])


class TimingInterceptor(AsyncServerInterceptor):
    """Times every call."""

    async def intercept(
        self, method: Callable[..., Any], request: Any, context: Any, method_name: str
    ) -> Any:
        """Answer the call and count how long it took."""
        started = time.perf_counter()
        try:
            return await method(request, context)
        finally:
            _SECONDS.labels(method_name).observe(time.perf_counter() - started)


class UncachedInventory(inventory_pb2_grpc.InventoryServiceServicer):
    """Reads each product from MongoDB."""

    def __init__(self, products: Any) -> None:
        self._products = products

    async def GetProduct(
        self,
        request: inventory_pb2.GetProductRequest,
        context: aio.ServicerContext[Any, Any],
    ) -> inventory_pb2.GetProductResponse:
        """Return one product."""
        return _response(await self._find(request.product_id, context))

    async def _find(
        self, product_id: str, context: aio.ServicerContext[Any, Any]
    ) -> dict[str, Any]:
        document: dict[str, Any] | None = await self._products.find_one({"_id": product_id})
        if document is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no product {product_id}")
        return document | {
            "create_time": document["create_time"].isoformat() + "Z",
            "update_time": document["update_time"].isoformat() + "Z",
        }


class CachedInventory(UncachedInventory):
    """Reads each product from Redis, and from MongoDB what is not there."""

    def __init__(self, products: Any, redis: Redis) -> None:
        super().__init__(products)
        self._redis = redis

    async def GetProduct(
        self,
        request: inventory_pb2.GetProductRequest,
        context: aio.ServicerContext[Any, Any],
    ) -> inventory_pb2.GetProductResponse:
        """Return one product."""
        key = KEY.format(request.product_id)
        cached = await self._redis.get(key)
        if cached is not None:
            return _response(json.loads(cached))
        fields = await self._find(request.product_id, context)
        await self._redis.set(key, json.dumps(fields), ex=TTL_S)
        return _response(fields)


def _response(fields: Mapping[str, Any]) -> inventory_pb2.GetProductResponse:
    product = inventory_pb2.Product(
        product_id=fields["_id"],
        sku=fields["sku"],
        name=fields["name"],
        description=fields["description"],
        category=fields["category"],
        price=Money(**fields["price"]),
        stock=fields["stock"],
        tags=fields["tags"],
        version=fields["version"],
    )
    product.create_time.FromJsonString(fields["create_time"])
    product.update_time.FromJsonString(fields["update_time"])
    return inventory_pb2.GetProductResponse(product=product)


async def _serve(mode: str, database: str, mongo_uri: str, redis_url: str) -> None:
    products: Any = AsyncIOMotorClient(mongo_uri)[database]["products"]
    redis = Redis.from_url(redis_url)
    servicer = (  # their stubs call abstract what answers UNIMPLEMENTED
        CachedInventory(products, redis)  # type: ignore[abstract]
        if mode == "cached"
        else UncachedInventory(products)  # type: ignore[abstract]
    )
    server = aio.server(interceptors=[TimingInterceptor()])
    inventory_pb2_grpc.add_InventoryServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await until_input_ends()
    await server.stop(0)
    await redis.aclose()


if __name__ == "__main__":
    uvloop.run(_serve(*sys.argv[1:]))
