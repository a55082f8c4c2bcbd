"""Products and reservations in MongoDB.

A product's document holds ``stock`` (available), ``reserved`` and ``sold``; reservations keep
their sum. A reservation, or an adjustment, and the stock it moves change in one transaction.

An answer rests on nothing that a failover can undo. So what was done before is read as a majority
has it (``lasting``), or in the transaction that would do it: once a majority has acknowledged its
commit, a majority also has what it read.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from pymongo import ASCENDING, TEXT, IndexModel, UpdateOne
from pymongo.errors import DuplicateKeyError

from services.common.batching import Batcher
from services.common.cache.watched import Changes
from services.common.clock import as_utc, utc_now
from services.common.ids import new_id
from services.common.money import Money
from services.common.mongo import Document, Mongo, StoreUnavailable
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
    MAX_STOCK,
    Adjustment,
    HeldFilter,
    InsufficientStock,
    Product,
    ProductChanged,
    ProductDraft,
    ProductFilter,
    ProductNotFound,
    ProductRequestIdReused,
    ProductReserved,
    Reservation,
    ReservationItem,
    ReservationNotFound,
    ReservationState,
    ReservedLine,
    SkuTaken,
    StockLimitExceeded,
)

_PRODUCTS: Final = "products"
_RESERVATIONS: Final = "reservations"
_ADJUSTMENTS: Final = "stock_adjustments"
_MOST_AT_ONCE: Final = 500
# How long the name of a released reservation stays out of use. A call for it that comes later
# still loses nothing: what it reserves is not in its owner's books, who finds it held and
# releases it. A COMMITTED one stays, for the release of an order cancelled years later needs it,
# until its owner says that none will come.
_KEPT_AT_THE_END_FOR: Final = timedelta(days=7)

PRODUCT_CHANGES: Final = Changes(_PRODUCTS, shown=("version", "stock"))
"""Every change that a product shows is one of its stock, or counted by its version."""

_ENDED_NOW: Final = {"$currentDate": {"end_time": True}}
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
        "owner": {"bsonType": "string"},
        "state": {"enum": [state.value for state in ReservationState]},
        "lines": {"bsonType": "array"},
        "create_time": {"bsonType": "date"},
        "end_time": {"bsonType": "date"},
    },
}
_ADJUSTMENT_SCHEMA: Final[Document] = {
    "bsonType": "object",
    "required": ["product_id", "delta", "create_time"],
    "properties": {
        "_id": {"bsonType": "string"},
        "product_id": {"bsonType": "string"},
        "delta": {"bsonType": ["int", "long"]},
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
            IndexModel([("request_id", ASCENDING)], unique=True, sparse=True),
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
            ),
            IndexModel(
                [("end_time", ASCENDING)],
                expireAfterSeconds=int(_KEPT_AT_THE_END_FOR.total_seconds()),
            ),
        ],
    )
    await mongo.prepare(_ADJUSTMENTS, schema=_ADJUSTMENT_SCHEMA)


class MongoProducts:
    """The catalogue in MongoDB."""

    def __init__(self, mongo: Mongo, batcher: type[Batcher[Any, Any]] = Batcher) -> None:
        self._mongo = mongo
        self._products = mongo.collection(_PRODUCTS)
        self._lasting = mongo.lasting(_PRODUCTS)
        self._adjustments = mongo.collection(_ADJUSTMENTS)
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
        documents = await self._lasting.find(
            query, sort=[("_id", ASCENDING)], limit=size + 1
        ).to_list(None)
        items = tuple(_product(document) for document in documents[:size])
        more = len(documents) > size
        return Page(items, encode_page_token((items[-1].product_id,), scope) if more else "")

    async def add(self, draft: ProductDraft, request_id: str = "") -> Product:
        """Store a new product and return it, or the one that was made for the same request."""
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
        if request_id:
            document |= {"request_id": request_id, "request_digest": _digest(draft)}
        try:
            await self._products.insert_one(document)
        except DuplicateKeyError:
            if not request_id:
                raise _sku_taken(draft) from None
            return await self._made_for(request_id, draft)
        return _product(document)

    async def _made_for(self, request_id: str, draft: ProductDraft) -> Product:
        """Return the product that a request made before. Raises ``SkuTaken`` if it made none."""
        rivals = await self._lasting.find(
            {"$or": [{"request_id": request_id}, {"sku": draft.sku}]}
        ).to_list(None)
        for made in rivals:
            if made.get("request_id") == request_id:
                if made["request_digest"] != _digest(draft):
                    raise ProductRequestIdReused(request_id)
                return _product(made)
        if rivals:
            raise _sku_taken(draft)
        raise StoreUnavailable("the product is not stored for good yet")

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

    async def adjust(self, adjustment: Adjustment) -> Product:
        """Add an amount to a product's stock, once, and return the product."""
        product_id, delta = adjustment.product_id, adjustment.delta

        async def move(session: Session) -> Document:
            known = await self._adjustments.find_one(
                {"_id": adjustment.request_id}, session=session
            )
            if known is not None:
                if (known["product_id"], known["delta"]) != (product_id, delta):
                    raise ProductRequestIdReused(adjustment.request_id)
                return await self._present(product_id, session)
            moved = await self._products.find_one_and_update(
                {"_id": product_id, "stock": {"$gte": -delta, "$lte": MAX_STOCK - delta}},
                {"$inc": {"stock": delta}, "$set": {"update_time": utc_now()}},
                return_document=True,
                session=session,
            )
            if moved is None:
                stock = (await self._present(product_id, session))["stock"]
                if delta < 0:
                    raise InsufficientStock(product_id, -delta, stock)
                raise StockLimitExceeded(product_id, delta, stock)
            await self._adjustments.insert_one(
                {
                    "_id": adjustment.request_id,
                    "product_id": product_id,
                    "delta": delta,
                    "create_time": utc_now(),
                },
                session=session,
            )
            return moved

        return _product(await self._mongo.in_transaction(move))

    async def _present(self, product_id: str, session: Session) -> Document:
        document = await self._products.find_one({"_id": product_id}, session=session)
        if document is None:
            raise ProductNotFound(product_id)
        return document

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
        self._lasting = mongo.lasting(_RESERVATIONS)

    async def reserve(
        self, owner: str, reservation_id: str, items: Sequence[ReservationItem]
    ) -> Reservation:
        """Hold all items back, or none."""

        async def hold(session: Session) -> Reservation:
            try:
                lines, now = await self._priced(items, session)
            except (InsufficientStock, ProductNotFound):
                # What is missing may be what this very reservation holds.
                known = await look(session)
                if known is None:
                    raise
                return known
            await self._move(items, {"stock": -1, "reserved": 1}, session)
            reservation = Reservation(reservation_id, owner, ReservationState.HELD, lines, now)
            await self._reservations.insert_one(_document(reservation), session=session)
            return reservation

        async def look(session: Session) -> Reservation | None:
            return await self._find(reservation_id, session)

        documents = await self._lasting.find({"_id": reservation_id}).to_list(1)
        known = _reservation(documents[0]) if documents else None
        if known is None:
            try:
                known = await self._mongo.in_transaction(hold)
            except DuplicateKeyError:  # it is there, and no majority has it yet
                known = await self._mongo.in_transaction(look)
        if known is None:
            raise StoreUnavailable("the reservation is not stored for good yet")
        known.confirm_owned(owner)
        return replace(known, lines=tuple(known.lines_of(items)))

    async def commit(self, owner: str, reservation_id: str, *, irrevocable: bool = False) -> None:
        """Turn held stock into sold stock."""
        sold = {"_id": reservation_id, "state": ReservationState.COMMITTED.value}

        async def sell(session: Session) -> Reservation | None:
            known = await self._leave(
                [ReservationState.HELD], ReservationState.COMMITTED, reservation_id, session
            )
            if known is None:
                known = await self._find(reservation_id, session)
            else:
                await self._move(known.lines, {"reserved": -1, "sold": 1}, session)
            if known is not None:
                known.confirm_owned(owner)
            if irrevocable:
                await self._reservations.update_one(sold, _ENDED_NOW, session=session)
            return known

        known = await self._mongo.in_transaction(sell)
        if known is None:
            raise ReservationNotFound(f"there is no reservation {reservation_id}")
        known.confirm_kept()

    async def release(self, owner: str, reservation_id: str) -> Reservation:
        """Make held or sold stock available again and return what was given back, now or before."""
        nothing = Reservation(reservation_id, owner, ReservationState.RELEASED, (), utc_now())

        async def give_back(session: Session) -> Reservation:
            known = await self._leave(
                [ReservationState.HELD, ReservationState.COMMITTED],
                ReservationState.RELEASED,
                reservation_id,
                session,
            )
            if known is None:
                released = await self._reservations.find_one_and_update(
                    {"_id": reservation_id},
                    {"$setOnInsert": _document(nothing), **_ENDED_NOW},
                    upsert=True,
                    return_document=True,
                    session=session,
                )
                known = nothing if released is None else _reservation(released)
                known.confirm_owned(owner)
                return known
            known.confirm_owned(owner)
            source = "reserved" if known.state is ReservationState.HELD else "sold"
            await self._move(known.lines, {source: -1, "stock": 1}, session)
            return known

        return await self._mongo.in_transaction(give_back)

    async def page_held(self, wanted: HeldFilter, size: int, token: str) -> Page[Reservation]:
        """Return a page of held reservations, oldest first."""
        scope = ("ListHeldReservations", wanted.owner, str(wanted.before), str(wanted.min_age))
        query: Document = {
            "state": ReservationState.HELD.value,
            "owner": {"$in": [wanted.owner, None]},
        }
        if wanted.before is not None:
            query["create_time"] = {"$lt": wanted.before}
        if wanted.min_age is not None:
            age_ms = wanted.min_age // timedelta(milliseconds=1)
            query["$expr"] = {"$lte": ["$create_time", {"$subtract": ["$$NOW", age_ms]}]}
        if token:
            last_time, last_id = decode_time_token(token, scope)
            query["$or"] = [
                {"create_time": {"$gt": last_time}},
                {"create_time": last_time, "_id": {"$gt": last_id}},
            ]
        documents = await self._lasting.find(
            query, sort=[("create_time", ASCENDING), ("_id", ASCENDING)], limit=size + 1
        ).to_list(None)
        items = tuple(_reservation(document) for document in documents[:size])
        if len(documents) <= size:
            return Page(items, "")
        last = items[-1]
        return Page(items, encode_time_token(last.create_time, last.reservation_id, scope))

    async def _priced(
        self, items: Sequence[ReservationItem], session: Session
    ) -> tuple[tuple[ReservedLine, ...], datetime]:
        """Return the lines, and the time by MongoDB's clock, by which ages are judged."""
        documents = await self._products.find(
            {"_id": {"$in": [item.product_id for item in items]}},
            {"name": 1, "price": 1, "stock": 1, "now": "$$NOW"},
            session=session,
        ).to_list(None)
        found = {document["_id"]: document for document in documents}
        lines = tuple(_line(item, found.get(item.product_id)) for item in items)
        return lines, as_utc(documents[0]["now"])

    async def _move(
        self,
        items: Iterable[ReservationItem | ReservedLine],
        signs: Mapping[str, int],
        session: Session,
    ) -> None:
        """Add each item's quantity to the named counts of its product, times their sign."""
        touched = {"$set": {"update_time": utc_now()}} if "stock" in signs else {}
        changes = [
            UpdateOne(
                {"_id": item.product_id},
                {
                    "$inc": {name: sign * item.quantity for name, sign in signs.items()},
                    **touched,
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
            {
                "$set": {"state": state.value},
                **(_ENDED_NOW if state is ReservationState.RELEASED else {}),
            },
            session=session,
        )
        return None if document is None else _reservation(document)

    async def _find(self, reservation_id: str, session: Session) -> Reservation | None:
        document = await self._reservations.find_one({"_id": reservation_id}, session=session)
        return None if document is None else _reservation(document)


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


def _digest(draft: ProductDraft) -> str:
    """Return what tells the content of one request to create a product from another's."""
    return hashlib.sha256(orjson.dumps(_draft_fields(draft))).hexdigest()


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
        "owner": reservation.owner,
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
        owner=document.get("owner", ""),
        state=ReservationState(document["state"]),
        lines=tuple(
            ReservedLine(
                line["product_id"], line["name"], line["quantity"], _money(line["unit_price"])
            )
            for line in document["lines"]
        ),
        create_time=as_utc(document["create_time"]),
    )
