"""One server to be measured: ``python -m bench.rpc_server <handler> <transport> <layers>``.

Handlers: ``empty`` answers with a prepared message, ``product`` reads through Redis from a database
whose name and stores are the further arguments. Layers: ``none``, ``full``, the name of a single
interceptor, or ``watched``: all, and what traces calls if the environment says that they are. It
writes its port and serves until its standard input ends.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

import uvloop
from prometheus_client import CollectorRegistry

from bench.empty_server import INVENTORY, EmptyHandler, serve
from services.common.auth.tokens import TokenVerifier
from services.common.cache.near import NearOptions
from services.common.cache.wiring import CacheMode, CacheOptions, open_cache
from services.common.logs import LogFormat, LogLevel, configure_logs
from services.common.mongo import MongoDriver, MongoOptions, as_domain_error, open_mongo
from services.common.redis.servers import RedisOptions
from services.common.rpc.chain import Chain, ChainOptions, LimitKind
from services.common.rpc.compose import compose
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.service import Service
from services.common.tracing.opening import open_instruments
from services.common.tracing.options import TracingMode, TracingOptions
from services.inventory.access import ACCESS
from services.inventory.bootstrap import CACHED, MAX_S
from services.inventory.cached import PRODUCT, CachedProducts, CachedReservations
from services.inventory.handler import InventoryHandler
from services.inventory.repository import PRODUCT_CHANGES, MongoProducts, MongoReservations
from services.inventory.usecases import InventoryUseCases


async def _product_handler(
    stack: AsyncExitStack, database: str, mongo_uri: str, redis_url: str
) -> object:
    mongo = await stack.enter_async_context(
        open_mongo(MongoOptions(mongo_uri, MongoDriver.PYMONGO, 2_000), database)
    )
    products = MongoProducts(mongo)
    options = CacheOptions(
        CacheMode.REDIS, NearOptions(1, 1, 1.0), RedisOptions(redis_url, timeout_ms=1_000)
    )
    cache = await stack.enter_async_context(
        open_cache(PRODUCT, products.get_many, mongo, PRODUCT_CHANGES, options)
    )
    return InventoryHandler(
        InventoryUseCases(
            CachedProducts(products, cache.values),
            CachedReservations(MongoReservations(mongo), cache.values),
        )
    )


async def _watching(stack: AsyncExitStack) -> Sequence[MethodInterceptor]:
    """Return what traces calls, if ``SHOP_TRACING`` and what goes with it say so."""
    options = TracingOptions(
        TracingMode(os.environ.get("SHOP_TRACING", TracingMode.OFF)),
        float(os.environ.get("SHOP_TRACING_SAMPLE_RATIO", "1")),
    )
    return (await stack.enter_async_context(open_instruments("bench", options))).interceptors


async def _serve(handler: str, transport: str, layers: str, *stores: str) -> None:
    async with AsyncExitStack() as stack:
        servicer = EmptyHandler() if handler == "empty" else await _product_handler(stack, *stores)
        service = Service(INVENTORY, servicer, access=ACCESS, max_s=MAX_S, cached=CACHED)
        options = ChainOptions(LimitKind.ADAPTIVE, max_in_flight=512, log_every_call=False)
        watching = await _watching(stack) if layers == "watched" else ()
        chain = Chain(service, TokenVerifier({}), as_domain_error, options, watching)
        registry = CollectorRegistry()
        for collector in chain.collectors():
            registry.register(collector)
        wanted = [
            interceptor
            for interceptor in chain.interceptors
            if layers in ("full", "watched", type(interceptor).__name__)
        ]
        await serve(compose(servicer, INVENTORY, wanted), transport)


if __name__ == "__main__":
    configure_logs("bench", LogLevel.INFO, LogFormat.JSON)
    uvloop.run(_serve(*sys.argv[1:]))
