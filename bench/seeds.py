"""What the measured services find in MongoDB: products, and customers with orders."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from pymongo import AsyncMongoClient

from bench import lamp
from services.common.clock import utc_now
from services.common.mongo import Document, MongoDriver, MongoOptions, open_mongo
from services.inventory import repository as inventory_repository
from services.order import repository as order_repository
from services.user import repository as user_repository

ORDERS_PER_USER: Final = 20
LINES_PER_ORDER: Final = 3
_PATIENCE_MS: Final = 600_000  # an index over a million products takes its time
_CHUNK: Final = 10_000
_NOW: Final = utc_now()


def nth_id(number: int) -> str:
    """Return the id of the product or user of this number, the first being 0."""
    return f"{number:024x}"


async def seed_products(mongo_uri: str, database: str, count: int) -> None:
    """Store so many products, ready for the Inventory service."""
    await _insert(mongo_uri, database, "products", map(product_document, range(count)))
    async with open_mongo(_options(mongo_uri), database) as mongo:
        await inventory_repository.prepare_schema(mongo)


async def seed_users(mongo_uri: str, database: str, count: int) -> None:
    """Store so many users, ready for the User service, none of whom can log in."""
    await _insert(mongo_uri, database, "users", map(user_document, range(count)))
    async with open_mongo(_options(mongo_uri), database) as mongo:
        await user_repository.prepare_schema(mongo)


async def seed_orders(mongo_uri: str, database: str, users: int, products: int) -> None:
    """Store 20 settled orders of three lines for each of so many users."""
    orders = (order_document(number, products) for number in range(users * ORDERS_PER_USER))
    await _insert(mongo_uri, database, "orders", orders)
    async with open_mongo(_options(mongo_uri), database) as mongo:
        await order_repository.prepare_schema(mongo)


def _options(mongo_uri: str) -> MongoOptions:
    return MongoOptions(mongo_uri, MongoDriver.PYMONGO, _PATIENCE_MS)


async def _insert(
    mongo_uri: str, database: str, collection: str, documents: Iterable[Document]
) -> None:
    client: AsyncMongoClient[Document] = AsyncMongoClient(mongo_uri)
    async with client:
        for chunk in _chunks(iter(documents)):
            await client[database][collection].insert_many(chunk, ordered=False)


def _chunks(documents: Iterator[Document]) -> Iterator[list[Document]]:
    while chunk := list(islice(documents, _CHUNK)):
        yield chunk


def product_document(number: int) -> Document:
    """Return what is stored of the product of this number."""
    return {
        "_id": nth_id(number),
        "sku": f"LMP-{number:07}",
        "name": lamp.NAME,
        "category": lamp.CATEGORY,
        "description": lamp.DESCRIPTION,
        "price": _money(lamp.CENTS),
        "stock": lamp.STOCK,
        "reserved": 0,
        "sold": 0,
        "version": 1,
        "tags": list(lamp.TAGS),
        "create_time": _NOW,
        "update_time": _NOW,
    }


def user_document(number: int) -> Document:
    """Return what is stored of the user of this number."""
    name = f"customer{number:05}"
    return {
        "_id": nth_id(number),
        "username": name,
        "username_key": name,
        "email": f"{name}@example.com",
        "email_key": f"{name}@example.com",
        "full_name": f"Customer {number}",
        "role": "customer",
        "active": True,
        "password_hash": "none",
        "login_epoch": 0,
        "create_time": _NOW,
        "update_time": _NOW,
    }


def order_document(number: int, products: int) -> Document:
    """Return what is stored of the order of this number, of so many products."""
    user, place = divmod(number, ORDERS_PER_USER)
    lines = [
        {
            "product_id": nth_id((number + line) % products),
            "name": lamp.NAME,
            "quantity": 1 + line,
            "unit_price": _money(lamp.CENTS),
        }
        for line in range(LINES_PER_ORDER)
    ]
    pieces = sum(range(1, LINES_PER_ORDER + 1))
    return {
        "_id": nth_id(number),
        "user_id": nth_id(user),
        "request_id": f"basket-{place}",
        "status": "CONFIRMED",
        "lines": lines,
        "total": _money(pieces * lamp.CENTS),
        "reject_reason": "",
        "reject_message": "",
        "create_time": _NOW,
        "update_time": _NOW,
        "attempt": 1,
        "settled": True,
        "version": 3,
        "touch_time": _NOW,
    }


def _money(cents: int) -> Document:
    return {"currency_code": lamp.CURRENCY, "minor_units": cents}
