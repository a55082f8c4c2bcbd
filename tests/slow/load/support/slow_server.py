"""The Inventory service with methods that take far too long, one of them in MongoDB.

``python -m tests.slow.load.support.slow_server <transport> <driver> <mongo uri> <database>`` writes
its port and serves until its standard input ends.
"""

import asyncio
import sys
from typing import Any

import uvloop
from shop.inventory.v1 import inventory_pb2 as pb
from shop.inventory.v1 import inventory_pb2_grpc as pb_grpc

from bench.empty_server import INVENTORY, serve
from services.common.auth.tokens import TokenVerifier
from services.common.mongo import Mongo, MongoDriver, MongoOptions, as_domain_error, open_mongo
from services.common.rpc.chain import Chain, ChainOptions, LimitKind
from services.common.rpc.compose import compose
from services.common.rpc.service import Service
from services.inventory.access import ACCESS

MAX_S = 0.4
SLEEP_MS = 30_000


class SlowHandler:
    """Sleeps in MongoDB."""

    def __init__(self, mongo: Mongo) -> None:
        self._products = mongo.collection("products")

    async def GetProduct(self, request: Any, context: Any) -> pb.GetProductResponse:
        """Sleep, and find nothing."""
        await self._products.find_one({"$where": f"sleep({SLEEP_MS}) || true"})
        return pb.GetProductResponse()

    async def ListProducts(self, request: Any, context: Any) -> pb.ListProductsResponse:
        """Wait for something that knows no deadline."""
        await asyncio.sleep(SLEEP_MS / 1000)
        return pb.ListProductsResponse()

    def __getattr__(self, name: str) -> Any:
        return getattr(pb_grpc.InventoryServiceServicer, name)


async def _serve(transport: str, driver: str, uri: str, database: str) -> None:
    async with open_mongo(MongoOptions(uri, MongoDriver(driver), 3_000), database) as mongo:
        handler = SlowHandler(mongo)
        service = Service(INVENTORY, handler, ACCESS, {"GetProduct": MAX_S, "ListProducts": MAX_S})
        options = ChainOptions(LimitKind.OFF, max_in_flight=64, log_every_call=False)
        chain = Chain(service, TokenVerifier({}), as_domain_error, options)
        await serve(compose(handler, INVENTORY, chain.interceptors), transport)


if __name__ == "__main__":
    uvloop.run(_serve(*sys.argv[1:]))
