"""Orders in MongoDB: one document holds the order and how far its checkout has come."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from services.common.batching import Batcher
from services.common.cache.watched import Changes
from services.common.clock import as_utc
from services.common.money import Money
from services.common.mongo import Document, Mongo, StoreUnavailable
from services.common.paging import DEFAULT_PAGE_SIZE, Page, decode_time_token
from services.common.snapshot import Snapshot
from services.order.model import (
    Checkout,
    Order,
    OrderLine,
    OrderNotFound,
    OrderStatus,
    Unsettled,
    first_orders,
    page_scope,
)

_ORDERS: Final = "orders"
_MOST_AT_ONCE: Final = 100
_MOST_COUNTED: Final = 1_000
_NOW: Final = {"touch_time": True}  # by MongoDB's clock

ORDER_CHANGES: Final = Changes(
    _ORDERS,
    owner="user_id",
    shown=("status", "lines", "total", "reject_reason", "reject_message", "update_time"),
)
"""How far the stock has followed an order is not shown."""

_NEWEST_FIRST: Final = [("create_time", DESCENDING), ("_id", DESCENDING)]
_SCHEMA: Final[Document] = {
    "bsonType": "object",
    "required": [
        "user_id",
        "request_id",
        "status",
        "lines",
        "attempt",
        "settled",
        "version",
        "create_time",
        "touch_time",
    ],
    "properties": {
        "_id": {"bsonType": "string"},
        "user_id": {"bsonType": "string"},
        "request_id": {"bsonType": "string"},
        "status": {"enum": [status.value for status in OrderStatus]},
        "lines": {"bsonType": "array", "minItems": 1},
        "settled": {"bsonType": "bool"},
        "create_time": {"bsonType": "date"},
        "touch_time": {"bsonType": "date"},
    },
}


async def prepare_schema(mongo: Mongo) -> None:
    """Create the collection, validator and indexes, or bring them up to date."""
    await mongo.prepare(
        _ORDERS,
        schema=_SCHEMA,
        indexes=[
            IndexModel([("user_id", ASCENDING), ("request_id", ASCENDING)], unique=True),
            IndexModel([("user_id", ASCENDING), *_NEWEST_FIRST]),
            IndexModel(
                [("touch_time", ASCENDING)],
                name="unsettled",
                partialFilterExpression={"settled": False},
            ),
        ],
    )


class MongoOrders:
    """All orders, in MongoDB."""

    def __init__(self, mongo: Mongo, batcher: type[Batcher[Any, Any]] = Batcher) -> None:
        self._mongo = mongo
        self._orders = mongo.collection(_ORDERS)
        self._lasting = mongo.lasting(_ORDERS)
        self._reads: Batcher[str, Snapshot[Page[Order]]]
        self._reads = batcher(self.newest_of_users, _MOST_AT_ONCE)

    async def open(self, checkout: Checkout) -> Checkout:
        """Store a new checkout, or return the one that this user has under its request id."""
        name = {"user_id": checkout.order.user_id, "request_id": checkout.request_id}
        try:
            # An insertion by MongoDB's clock: this finds no order, for each has a version.
            await self._orders.update_one(
                {"_id": checkout.order.order_id, **name, "version": {"$exists": False}},
                {"$setOnInsert": _fields(checkout), "$currentDate": _NOW},
                upsert=True,
                hint="_id_",
            )
        except DuplicateKeyError:
            # That it is there is told by a server that may have lost the others: what it has done
            # alone is not to be answered with.
            known = await self._lasting.find(name).to_list(1)
            if not known:
                raise StoreUnavailable("the order is not stored for good yet") from None
            return _checkout(known[0])
        return checkout

    async def get(self, order_id: str) -> Checkout:
        """Return a checkout. Raises ``OrderNotFound``."""
        found = await self._lasting.find({"_id": order_id}).to_list(1)
        if not found:
            raise OrderNotFound(order_id)
        return _checkout(found[0])

    async def save(self, changed: Checkout) -> bool:
        """Store the next version of a checkout; False if somebody else did so first."""
        result = await self._orders.update_one(
            _version(changed, changed.version - 1),
            {"$set": _fields(changed), "$currentDate": _NOW},
            hint="_id_",
        )
        return result.matched_count == 1

    async def note(self, progress: Checkout) -> bool:
        """Do as ``save`` for a version whose order shows nothing new."""
        return await self.save(progress)

    async def touch(self, checkout: Checkout, ahead_s: float = 0.0) -> None:
        """Let a checkout of this version count as touched now, or so much later."""
        touched = {"$add": ["$$NOW", int(ahead_s * 1000)]}
        await self._orders.update_one(
            _version(checkout, checkout.version),
            [{"$set": {"touch_time": touched, "failures": checkout.failures}}],
            hint="_id_",
        )

    async def newest_of_users(
        self, user_ids: Collection[str]
    ) -> Mapping[str, Snapshot[Page[Order]]]:
        """Return the first page, of the default size, of each user's orders."""
        documents = await self._lasting.aggregate(_newest(list(user_ids), DEFAULT_PAGE_SIZE + 1))
        orders: dict[str, list[Order]] = {user_id: [] for user_id in user_ids}
        for document in documents:
            orders[document["user_id"]].append(_order(document))
        return {
            user_id: Snapshot(first_orders(user_id, found, DEFAULT_PAGE_SIZE))
            for user_id, found in orders.items()
        }

    async def page_of_user(self, user_id: str, size: int, token: str) -> Snapshot[Page[Order]]:
        """Return a page of a user's orders, newest first."""
        if not token and size == DEFAULT_PAGE_SIZE:
            return (await self._reads.ask((user_id,)))[user_id]
        query: Document = {"user_id": user_id}
        if token:
            last_time, last_id = decode_time_token(token, page_scope(user_id))
            query["$or"] = [
                {"create_time": {"$lt": last_time}},
                {"create_time": last_time, "_id": {"$lt": last_id}},
            ]
        found = self._lasting.find(query, sort=_NEWEST_FIRST, limit=size + 1)
        orders = [_order(document) for document in await found.to_list(None)]
        return Snapshot(first_orders(user_id, orders, size))

    async def unsettled(self, min_age_s: float, limit: int) -> Unsettled:
        """Return checkouts not settled and not touched for so long, oldest first."""
        now = await self._mongo.now()
        before = now - timedelta(seconds=min_age_s)
        found = await self._lasting.find(
            {"settled": False, "touch_time": {"$lt": before}},
            sort=[("touch_time", ASCENDING)],
            limit=limit,
        ).to_list(None)
        waiting = await self._lasting.find(
            {"settled": False, "touch_time": {"$gte": before}, "failures": {"$gt": 0}},
            {"_id": True},
            limit=_MOST_COUNTED,
        ).to_list(None)
        return Unsettled(
            [_checkout(document) for document in found],
            (now - as_utc(found[0]["touch_time"])).total_seconds() if found else 0.0,
            len(waiting) + sum("failures" in d and d["failures"] > 0 for d in found),
        )


def _newest(user_ids: Sequence[str], count: int) -> list[Document]:
    """Return the pipeline that finds each user's newest orders, each by its part of the index."""

    def of(user_id: str) -> list[Document]:
        return [
            {"$match": {"user_id": user_id}},
            {"$sort": dict(_NEWEST_FIRST)},
            {"$limit": count},
        ]

    first, *others = user_ids
    return of(first) + [
        {"$unionWith": {"coll": _ORDERS, "pipeline": of(user_id)}} for user_id in others
    ]


def _version(checkout: Checkout, version: int) -> Document:
    """Return the filter for a version of a checkout.

    The owner says on which shard it is; the index is not to be chosen by that.
    """
    order = checkout.order
    return {"_id": order.order_id, "user_id": order.user_id, "version": version}


def _fields(checkout: Checkout) -> Document:
    """Return what a checkout's document holds, but for its names and when it was touched."""
    order = checkout.order
    return {
        "status": order.status.value,
        "lines": [
            {
                "product_id": line.product_id,
                "name": line.name,
                "quantity": line.quantity,
                "unit_price": _money_document(line.unit_price),
            }
            for line in order.lines
        ],
        "total": _money_document(order.total),
        "reject_reason": order.reject_reason,
        "reject_message": order.reject_message,
        "create_time": order.create_time,
        "update_time": order.update_time,
        "expected_total": _money_document(checkout.expected_total),
        "attempt": checkout.attempt,
        "settled": checkout.settled,
        "version": checkout.version,
        "failures": checkout.failures,
    }


def _checkout(document: Mapping[str, Any]) -> Checkout:
    return Checkout(
        order=_order(document),
        request_id=document["request_id"],
        expected_total=_money(document.get("expected_total")),  # not in older documents
        attempt=document["attempt"],
        settled=document["settled"],
        version=document["version"],
        failures=document.get("failures", 0),
    )


def _order(document: Mapping[str, Any]) -> Order:
    return Order(
        order_id=document["_id"],
        user_id=document["user_id"],
        status=OrderStatus(document["status"]),
        lines=tuple(
            OrderLine(
                line["product_id"], line["quantity"], line["name"], _money(line["unit_price"])
            )
            for line in document["lines"]
        ),
        total=_money(document["total"]),
        reject_reason=document["reject_reason"],
        reject_message=document["reject_message"],
        create_time=as_utc(document["create_time"]),
        update_time=as_utc(document["update_time"]),
    )


def _money(document: Mapping[str, Any] | None) -> Money | None:
    return None if document is None else Money(document["currency_code"], document["minor_units"])


def _money_document(money: Money | None) -> Document | None:
    if money is None:
        return None
    return {"currency_code": money.currency_code, "minor_units": money.minor_units}
