"""The composition root of the Inventory service."""

from contextlib import AsyncExitStack
from typing import Final

from shop.inventory.v1 import inventory_pb2

from services.common.auth.reload import LiveKeys
from services.common.cache.wiring import open_cache
from services.common.hosting import host
from services.common.mongo import open_mongo
from services.common.rpc.service import Service
from services.common.tracing.opening import open_instruments
from services.inventory.access import ACCESS, MAX_BYTES
from services.inventory.cached import PRODUCT, CachedProducts, CachedReservations
from services.inventory.handler import InventoryHandler
from services.inventory.ports import Products, Reservations
from services.inventory.repository import (
    PRODUCT_CHANGES,
    MongoProducts,
    MongoReservations,
    prepare_schema,
)
from services.inventory.settings import Settings
from services.inventory.usecases import InventoryUseCases

DESCRIPTOR: Final = inventory_pb2.DESCRIPTOR.services_by_name["InventoryService"]
CHECKOUT_STEPS: Final = ("ReserveStock", "CommitReservation", "ReleaseReservation")
MAX_S: Final = {"GetProduct": 2.5, "BatchGetProducts": 2.5}
CACHED: Final = ("GetProduct", "BatchGetProducts")


async def run(settings: Settings) -> None:
    """Open the stores, wire the service, serve until told to stop, and close what was opened."""
    async with AsyncExitStack() as stack:
        watch = await stack.enter_async_context(open_instruments("inventory", settings.traces))
        keys = LiveKeys(settings.trusted_keys_file, service=DESCRIPTOR.full_name)
        mongo = await stack.enter_async_context(
            open_mongo(settings.mongo, settings.inventory_database, watch.mongo_listeners)
        )
        products: Products = MongoProducts(mongo, watch.batcher)
        reservations: Reservations = MongoReservations(mongo)
        cache = await stack.enter_async_context(
            open_cache(PRODUCT, products.get_many, mongo, PRODUCT_CHANGES, settings.caching, watch)
        )
        products = CachedProducts(products, cache.values)
        reservations = CachedReservations(reservations, cache.values)
        await host(
            Service(
                descriptor=DESCRIPTOR,
                servicer=InventoryHandler(InventoryUseCases(products, reservations)),
                access=ACCESS,
                max_s=MAX_S,
                max_bytes=MAX_BYTES,
                unlimited=CHECKOUT_STEPS,
                cached=CACHED,
            ),
            settings,
            keys=keys,
            mongo=mongo,
            cache=cache,
            prepare=lambda: prepare_schema(mongo),
            instruments=watch,
        )
