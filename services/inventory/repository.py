"""Products and reservations in MongoDB.

A product's document holds ``stock`` (available), ``reserved`` and ``sold``; every transaction
keeps their sum. A reservation and the stock it moves change in one transaction.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, TEXT, IndexModel, UpdateOne
from pymongo.errors import DuplicateKeyError

from services.common.batching import Batcher
from services.common.cache.watched import Changes
from services.common.clock import as_utc, utc_now
from services.common.ids import new_id
from services.common.money import Money
from services.common.mongo import Document, Mongo
from services.common.paging import (
    Page,
    decode_page_token,
    decode_time_token,
    encode_page_token,
    encode_time_token,
)
from services.common.snapshot import Snapshot
from services.common.transaction import Session
from services.inventory.model import (
    InsufficientStock,
    Product,
    ProductChanged,
    ProductDraft,
    ProductFilter,
    ProductNotFound,
    ProductReserved,
    Reservation,
    ReservationItem,
    ReservationNotFound,
    ReservationReleased,
    ReservationState,
    ReservedLine,
    SkuTaken,
)

_PRODUCTS: Final = "products"
_RESERVATIONS: Final = "reservations"
_MOST_AT_ONCE: Final = 500

PRODUCT_CHANGES: Final = Changes(_PRODUCTS, shown=("version",))
"""The version counts the changes that a product shows."""

_COUNT: Final = {"bsonType": ["int", "long"], "minimum": 0}
_PRODUCT_SCHEMA: Final[Document] = {
    "bsonType": "object",
    "required": ["sku", "name", "category", "price", "stock", "reserved", "sold", "version"],
    "properties": {
        "_id": {"bsonType": "string"},
        "sku": {"bsonType": "string"},
        "stock": _COUNT,
        "reserved": _COUNT,
        "sold": _COUNT,
        "version": _COUNT,
        "price": {
            "bsonType": "object",
            "required": ["currency_code", "minor_units"],
            "properties": {"currency_code": {"bsonType": "string"}, "minor_units": _COUNT},
        },
    },
}
_RESERVATION_SCHEMA: Final[Document] = {
    "bsonType": "object",
    "required": ["state", "lines", "create_time"],
    "properties": {
        "_id": {"bsonType": "string"},
        "state": {"enum": [state.value for state in ReservationState]},
        "lines": {"bsonType": "array"},
        "create_time": {"bsonType": "date"},
    },
}


async def prepare_schema(mongo: Mongo) -> None:
    """Create the collections, validators and indexes, or bring them up to date.

    Raises ``NoTransactionsError`` where stock cannot be moved.
    """
    await mongo.confirm_transactions()
    await mongo.prepare(
        _PRODUCTS,
        schema=_PRODUCT_SCHEMA,
        indexes=[
            IndexModel([("sku", ASCENDING)], unique=True),
            IndexModel([("category", ASCENDING), ("_id", ASCENDING)]),
            IndexModel(
                [("name", TEXT), ("description", TEXT), ("tags", TEXT)], default_language="none"
            ),
        ],
    )
    await mongo.prepare(
        _RESERVATIONS,
        schema=_RESERVATION_SCHEMA,
        indexes=[
            IndexModel(
                [("create_time", ASCENDING), ("_id", ASCENDING)],
                name="held",
                partialFilterExpression={"state": ReservationState.HELD.value},
            )
        ],
    )


class MongoProducts:
    """The catalogue in MongoDB."""

    def __init__(self, mongo: Mongo, batcher: type[Batcher[Any, Any]] = Batcher) -> None:
        self._products = mongo.collection(_PRODUCTS)
        self._lasting = mongo.lasting(_PRODUCTS)
        self._reads: Batcher[str, Snapshot[Product]] = batcher(self.get_many, _MOST_AT_ONCE)

    async def get(self, product_id: str) -> Snapshot[Product]:
        """Return a product. Raises ``ProductNotFound``."""
        found = await self._reads.ask((product_id,))
        if product_id not in found:
            raise ProductNotFound(product_id)
        return found[product_id]

    async def get_many(self, product_ids: Collection[str]) -> Mapping[str, Snapshot[Product]]:
        """Return those of the products that exist."""
        documents = await self._lasting.find({"_id": {"$in": list(product_ids)}}).to_list(None)
        return {document["_id"]: Snapshot(_product(document)) for document in documents}

    async def page(self, wanted: ProductFilter, size: int, token: str) -> Page[Product]:
        """Return a page of the catalogue, oldest product first."""
        scope = ("ListProducts", wanted.category, wanted.query)
        query: Document = {}
        if wanted.category:
            query["category"] = wanted.category
        if wanted.query:
            query["$text"] = {"$search": _all_words(wanted.query)}
        if token:
            (last_id,) = decode_page_token(token, scope, parts=1)
            query["_id"] = {"$gt": last_id}
        documents = await self._products.find(
            query, sort=[("_id", ASCENDING)], limit=size + 1
        ).to_list(None)
        items = tuple(_product(document) for document in documents[:size])
        more = len(documents) > size
        return Page(items, encode_page_token((items[-1].product_id,), scope) if more else "")

    async def add(self, draft: ProductDraft) -> Product:
        """Store a new product and return it. Raises ``SkuTaken``."""
        now = utc_now()
        document: Document = {
            "_id": new_id(),
            **_draft_fields(draft),
            "reserved": 0,
            "sold": 0,
            "version": 1,
            "create_time": now,
            "update_time": now,
        }
        try:
            await self._products.insert_one(document)
        except DuplicateKeyError:
            raise _sku_taken(draft) from None
        return _product(document)

    async def update(
        self, product_id: str, draft: ProductDraft, fields: Collection[str], version: int
    ) -> Product:
        """Set the named fields and return the product."""
        values = _draft_fields(draft)
        query: Document = {"_id": product_id}
        if version:
            query["version"] = version
        try:
            document = await self._products.find_one_and_update(
                query,
                {
                    "$set": {field: values[field] for field in fields} | {"update_time": utc_now()},
                    "$inc": {"version": 1},
                },
                return_document=True,
            )
        except DuplicateKeyError:
            raise _sku_taken(draft) from None
        if document is None:
            current = (await self.get(product_id)).value
            raise ProductChanged(
                f"product {product_id} is at version {current.version}, not {version}",
                {"version": str(current.version)},
            )
        return _product(document)

    async def remove(self, product_id: str) -> None:
        """Remove a product. Raises ``ProductNotFound`` and ``ProductReserved``."""
        result = await self._products.delete_one({"_id": product_id, "reserved": 0})
        if not result.deleted_count:
            await self.get(product_id)
            raise ProductReserved(f"some of product {product_id} is reserved")


class MongoReservations:
    """Reservations in MongoDB, moving stock in transactions."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._products = mongo.collection(_PRODUCTS)
        self._reservations = mongo.collection(_RESERVATIONS)

    async def reserve(self, reservation_id: str, items: Sequence[ReservationItem]) -> Reservation:
        """Hold all items back, or none."""

        async def hold(session: Session) -> Reservation:
            lines = await self._priced(items, session)
            await self._move(items, {"stock": -1, "reserved": 1}, session)
            reservation = Reservation(
                reservation_id, ReservationState.HELD, lines, create_time=utc_now()
            )
            await self._reservations.insert_one(_document(reservation), session=session)
            return reservation

        known = await self._find(reservation_id)
        if known is None:
            try:
                return await self._mongo.in_transaction(hold)
            except DuplicateKeyError:
                known = await self._get(reservation_id)
        known.confirm_same(items)
        return known

    async def commit(self, reservation_id: str) -> None:
        """Turn held stock into sold stock."""

        async def sell(session: Session) -> Reservation | None:
            held = await self._leave(
                [ReservationState.HELD], ReservationState.COMMITTED, reservation_id, session
            )
            if held is not None:
                await self._move(held.lines, {"reserved": -1, "sold": 1}, session)
            return held

        if await self._mongo.in_transaction(sell) is None:
            known = await self._get(reservation_id)
            if known.state is ReservationState.RELEASED:
                raise ReservationReleased(f"reservation {reservation_id} was released")

    async def release(self, reservation_id: str) -> Reservation:
        """Make held or sold stock available again and return what was given back, now or before."""

        async def give_back(session: Session) -> Reservation:
            known = await self._leave(
                [ReservationState.HELD, ReservationState.COMMITTED],
                ReservationState.RELEASED,
                reservation_id,
                session,
            )
            if known is None:
                nothing = Reservation(reservation_id, ReservationState.RELEASED, (), utc_now())
                released = await self._reservations.find_one_and_update(
                    {"_id": reservation_id},
                    {"$setOnInsert": _document(nothing)},
                    upsert=True,
                    return_document=True,
                    session=session,
                )
                return nothing if released is None else _reservation(released)
            source = "reserved" if known.state is ReservationState.HELD else "sold"
            await self._move(known.lines, {source: -1, "stock": 1}, session)
            return known

        return await self._mongo.in_transaction(give_back)

    async def page_held(self, before: datetime, size: int, token: str) -> Page[Reservation]:
        """Return a page of the reservations held since before a moment, oldest first."""
        scope = ("ListHeldReservations", before.isoformat())
        query: Document = {
            "state": ReservationState.HELD.value,
            "create_time": {"$lt": before},
        }
        if token:
            last_time, last_id = decode_time_token(token, scope)
            query["$or"] = [
                {"create_time": {"$gt": last_time}},
                {"create_time": last_time, "_id": {"$gt": last_id}},
            ]
        documents = await self._reservations.find(
            query, sort=[("create_time", ASCENDING), ("_id", ASCENDING)], limit=size + 1
        ).to_list(None)
        items = tuple(_reservation(document) for document in documents[:size])
        if len(documents) <= size:
            return Page(items, "")
        last = items[-1]
        return Page(items, encode_time_token(last.create_time, last.reservation_id, scope))

    async def _priced(
        self, items: Sequence[ReservationItem], session: Session
    ) -> tuple[ReservedLine, ...]:
        documents = await self._products.find(
            {"_id": {"$in": [item.product_id for item in items]}},
            {"name": 1, "price": 1, "stock": 1},
            session=session,
        ).to_list(None)
        found = {document["_id"]: document for document in documents}
        return tuple(_line(item, found.get(item.product_id)) for item in items)

    async def _move(
        self,
        items: Iterable[ReservationItem | ReservedLine],
        signs: Mapping[str, int],
        session: Session,
    ) -> None:
        """Add each item's quantity to the named counts of its product, times their sign."""
        shown = "stock" in signs
        changes = [
            UpdateOne(
                {"_id": item.product_id},
                {
                    "$inc": {name: sign * item.quantity for name, sign in signs.items()}
                    | ({"version": 1} if shown else {}),
                    **({"$set": {"update_time": utc_now()}} if shown else {}),
                },
            )
            for item in items
        ]
        if changes:
            await self._products.bulk_write(changes, session=session)

    async def _leave(
        self,
        states: Sequence[ReservationState],
        state: ReservationState,
        reservation_id: str,
        session: Session,
    ) -> Reservation | None:
        """Move a reservation from one of ``states`` to ``state`` and return it as it was."""
        document = await self._reservations.find_one_and_update(
            {"_id": reservation_id, "state": {"$in": [known.value for known in states]}},
            {"$set": {"state": state.value}},
            session=session,
        )
        return None if document is None else _reservation(document)

    async def _find(self, reservation_id: str) -> Reservation | None:
        document = await self._reservations.find_one({"_id": reservation_id})
        return None if document is None else _reservation(document)

    async def _get(self, reservation_id: str) -> Reservation:
        known = await self._find(reservation_id)
        if known is None:
            raise ReservationNotFound(f"there is no reservation {reservation_id}")
        return known


def _sku_taken(draft: ProductDraft) -> SkuTaken:
    return SkuTaken(f"another product has the sku {draft.sku}", {"sku": draft.sku})


def _all_words(query: str) -> str:
    """Return a ``$search`` for documents with all the words: quoted, each must occur."""
    return " ".join(f'"{word}"' for word in query.replace('"', " ").replace("\\", " ").split())


def _line(item: ReservationItem, document: Document | None) -> ReservedLine:
    if document is None:
        raise ProductNotFound(item.product_id)
    if document["stock"] < item.quantity:
        raise InsufficientStock(item.product_id, item.quantity, document["stock"])
    return ReservedLine(item.product_id, document["name"], item.quantity, _money(document["price"]))


def _draft_fields(draft: ProductDraft) -> Document:
    return {
        "sku": draft.sku,
        "name": draft.name,
        "description": draft.description,
        "category": draft.category,
        "price": _money_document(draft.price),
        "stock": draft.stock,
        "tags": list(draft.tags),
    }


def _product(document: Mapping[str, Any]) -> Product:
    return Product(
        product_id=document["_id"],
        sku=document["sku"],
        name=document["name"],
        description=document["description"],
        category=document["category"],
        price=_money(document["price"]),
        stock=document["stock"],
        tags=tuple(document["tags"]),
        version=document["version"],
        create_time=as_utc(document["create_time"]),
        update_time=as_utc(document["update_time"]),
    )


def _money(document: Mapping[str, Any]) -> Money:
    return Money(document["currency_code"], document["minor_units"])


def _money_document(money: Money) -> Document:
    return {"currency_code": money.currency_code, "minor_units": money.minor_units}


def _document(reservation: Reservation) -> Document:
    return {
        "_id": reservation.reservation_id,
        "state": reservation.state.value,
        "lines": [
            {
                "product_id": line.product_id,
                "name": line.name,
                "quantity": line.quantity,
                "unit_price": _money_document(line.unit_price),
            }
            for line in reservation.lines
        ],
        "create_time": reservation.create_time,
    }


def _reservation(document: Mapping[str, Any]) -> Reservation:
    return Reservation(
        reservation_id=document["_id"],
        state=ReservationState(document["state"]),
        lines=tuple(
            ReservedLine(
                line["product_id"], line["name"], line["quantity"], _money(line["unit_price"])
            )
            for line in document["lines"]
        ),
        create_time=as_utc(document["create_time"]),
    )
