"""The Inventory's repositories, and a look at what they store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from services.common.ids import new_id
from services.common.money import Money
from services.common.mongo import Mongo
from services.common.redis.servers import RedisServers
from services.inventory.cached import PRODUCT, CachedProducts, CachedReservations
from services.inventory.model import Product, ProductDraft, ReservationItem
from services.inventory.ports import Products, Reservations
from services.inventory.repository import MongoProducts, MongoReservations, prepare_schema
from tests.integration.caches import opened_cache
from tests.integration.conftest import emptied, new_database

LAMP = ProductDraft(
    sku="lamp-1",
    name="Red Lamp",
    description="Shines at night",
    category="lamps",
    price=Money("EUR", 19_99),
    stock=10,
    tags=("red", "light"),
)


OWNER = "order"


@dataclass(frozen=True)
class Counts:
    stock: int
    reserved: int
    sold: int

    @property
    def total(self) -> int:
        return self.stock + self.reserved + self.sold


@dataclass(frozen=True)
class Inventory:
    products: Products
    reservations: Reservations
    mongo: Mongo

    async def stocked(self, stock: int, **changes: object) -> Product:
        """Add a product of which there is so much."""
        draft = replace(LAMP, sku=new_id(), stock=stock)
        return await self.products.add(replace(draft, **changes))  # type: ignore[arg-type]

    async def counts(self, product: Product) -> Counts:
        document = await self.mongo.collection("products").find_one({"_id": product.product_id})
        assert document is not None
        return Counts(document["stock"], document["reserved"], document["sold"])


@asynccontextmanager
async def inventory_on(mongo: Mongo, redis: RedisServers) -> AsyncIterator[Inventory]:
    products, reservations = MongoProducts(mongo), MongoReservations(mongo)
    async with opened_cache(redis, PRODUCT, products.get_many) as cache:
        yield Inventory(
            CachedProducts(products, cache.values),
            CachedReservations(reservations, cache.values),
            mongo,
        )


def items(*wanted: tuple[Product, int]) -> list[ReservationItem]:
    return [ReservationItem(product.product_id, quantity) for product, quantity in wanted]


async def got(inventory: Inventory, *product_ids: str) -> dict[str, Product]:
    found = await inventory.products.get_many(product_ids)
    return {product_id: snapshot.value for product_id, snapshot in found.items()}


def by_id(*products: Product) -> dict[str, Product]:
    return {product.product_id: product for product in products}


@pytest.fixture(scope="package")
def database() -> str:
    return new_database()


@pytest.fixture
async def inventory(mongo: Mongo, servers: RedisServers) -> AsyncIterator[Inventory]:
    await prepare_schema(mongo)
    await emptied(mongo, "products", "reservations", "stock_adjustments")
    async with inventory_on(mongo, servers) as opened:
        yield opened


@pytest.fixture
async def rival(
    inventory: Inventory, rival_mongo: Mongo, rival_servers: RedisServers
) -> AsyncIterator[Inventory]:
    """The same inventory in another process."""
    async with inventory_on(rival_mongo, rival_servers) as opened:
        yield opened


@pytest.fixture
async def lamp(inventory: Inventory) -> Product:
    return await inventory.products.add(LAMP)
