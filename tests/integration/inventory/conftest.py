"""The Inventory's repositories, and a look at what they store."""

from dataclasses import dataclass, replace

import pytest
from redis.asyncio import Redis

from services.common.cache.lookup import ReadThroughCache
from services.common.ids import new_id
from services.common.money import Money
from services.common.mongo import Mongo
from services.inventory.cached import PRODUCT, CachedProducts, CachedReservations
from services.inventory.model import Product, ProductDraft, ReservationItem
from services.inventory.ports import Products, Reservations
from services.inventory.repository import MongoProducts, MongoReservations, prepare_schema
from tests.integration.conftest import Wiring, emptied, new_database

LAMP = ProductDraft(
    sku="lamp-1",
    name="Red Lamp",
    description="Shines at night",
    category="lamps",
    price=Money("EUR", 19_99),
    stock=10,
    tags=("red", "light"),
)


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


def inventory_on(mongo: Mongo, redis: Redis, wiring: Wiring) -> Inventory:
    products, reservations = MongoProducts(mongo), MongoReservations(mongo)
    if wiring is Wiring.PLAIN:
        return Inventory(products, reservations, mongo)
    cache = ReadThroughCache(redis, PRODUCT)
    return Inventory(
        CachedProducts(products, cache), CachedReservations(reservations, cache), mongo
    )


def items(*wanted: tuple[Product, int]) -> list[ReservationItem]:
    return [ReservationItem(product.product_id, quantity) for product, quantity in wanted]


@pytest.fixture(scope="package")
def database() -> str:
    return new_database()


@pytest.fixture
async def inventory(mongo: Mongo, redis: Redis, wiring: Wiring) -> Inventory:
    await prepare_schema(mongo)
    await emptied(mongo, "products", "reservations")
    return inventory_on(mongo, redis, wiring)


@pytest.fixture
def rival(inventory: Inventory, rival_mongo: Mongo, redis: Redis, wiring: Wiring) -> Inventory:
    """The same inventory in another process."""
    return inventory_on(rival_mongo, redis, wiring)


@pytest.fixture
async def lamp(inventory: Inventory) -> Product:
    return await inventory.products.add(LAMP)
