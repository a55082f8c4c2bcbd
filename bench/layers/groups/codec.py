"""Between the forms of a value: BSON, the model, JSON in Redis, the answer on the wire."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final, Generic

import bson
from bson.codec_options import CodecOptions
from google.protobuf.message import Message
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2
from shop.user.v1 import user_pb2

from bench.arms import NotWhatItClaimsError
from bench.layers.contest import Group
from bench.layers.members import Local, Member, awaited, repeated
from bench.layers.setting import Setting
from bench.seeds import (
    ORDERS_PER_USER,
    nth_id,
    order_document,
    product_document,
    user_document,
)
from services.common.cache.lookup import Lookup
from services.common.mongo import Document
from services.common.snapshot import Snapshot, Value
from services.inventory.cached import PRODUCT
from services.inventory.handler import InventoryHandler
from services.inventory.repository import MongoProducts
from services.inventory.usecases import InventoryUseCases
from services.order.cached import NEWEST_ORDERS
from services.order.handler import OrderHandler
from services.order.repository import MongoOrders
from services.order.usecases import OrderUseCases
from services.user.cached import USER_PROFILE
from services.user.handler import UserHandler
from services.user.repository import MongoUsers
from services.user.usecases import UserUseCases

_WHOLE: Final = "JSON to answer"
_FROM_BSON: Final = "BSON to model"
_TO_JSON: Final = "model to JSON"
_FROM_JSON: Final = "JSON to model"
_TO_ANSWER: Final = "model to answer"
_MADE_BEFORE: Final = "answer made before"
_TO_MESSAGE: Final = "answer to message"
_NAMES: Final = (
    _WHOLE, _FROM_BSON, _TO_JSON, _FROM_JSON, _TO_ANSWER, _MADE_BEFORE, _TO_MESSAGE,
)  # fmt: skip
_ID: Final = nth_id(0)
_AS_SERVICES_READ: Final[CodecOptions[Document]] = CodecOptions(tz_aware=True, tzinfo=UTC)
_UNUSED: Final[Any] = None


class _Stored:
    """A database in which every query finds the same documents, as they come off the wire."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._bson = b"".join(bson.encode(document) for document in documents)

    def collection(self, _name: str) -> "_Stored":
        return self

    lasting = collection

    def find(self, *_query: Any) -> "_Stored":
        return self

    async def to_list(self, _length: int | None) -> Sequence[Document]:
        return bson.decode_all(self._bson, _AS_SERVICES_READ)

    async def aggregate(self, _pipeline: Any) -> Sequence[Document]:
        return await self.to_list(None)


class _Given(Generic[Value]):
    """A port that answers with what it is given."""

    def __init__(self) -> None:
        self.snapshot: Snapshot[Value]

    async def get(self, _value_id: str) -> Snapshot[Value]:
        return self.snapshot

    async def page_of_user(self, _user_id: str, _size: int, _token: str) -> Snapshot[Value]:
        return self.snapshot


@dataclass(frozen=True, slots=True)
class _Kind(Generic[Value]):
    """One kind of value: how it is loaded from MongoDB, cached, and answered with.

    ``answer`` serves a call by whatever ``given`` has at the moment.
    """

    lookup: Lookup[Value]
    load: Callable[[], Awaitable[Mapping[str, Snapshot[Value]]]]
    given: _Given[Value]
    answer: Callable[[], Awaitable[object]]
    message: type[Message]


def _products() -> _Kind[Any]:
    database: Any = _Stored([product_document(0)])
    products = MongoProducts(database)
    given: Any = _Given()
    handler = InventoryHandler(InventoryUseCases(given, _UNUSED))
    request = inventory_pb2.GetProductRequest(product_id=_ID)
    return _Kind(
        PRODUCT,
        lambda: products.get_many([_ID]),
        given,
        lambda: handler.GetProduct(request, _UNUSED),
        inventory_pb2.GetProductResponse,
    )


def _orders() -> _Kind[Any]:
    database: Any = _Stored([order_document(n, 1_000) for n in range(ORDERS_PER_USER)])
    orders = MongoOrders(database)
    given: Any = _Given()
    handler = OrderHandler(OrderUseCases(given, _UNUSED, _UNUSED, _UNUSED))
    request = order_pb2.ListUserOrdersRequest(user_id=_ID)
    return _Kind(
        NEWEST_ORDERS,
        lambda: orders.newest_of_users([_ID]),
        given,
        lambda: handler.ListUserOrders(request, _UNUSED),
        order_pb2.ListUserOrdersResponse,
    )


def _profiles() -> _Kind[Any]:
    database: Any = _Stored([user_document(0)])
    users = MongoUsers(database)
    given: Any = _Given()
    handler = UserHandler(UserUseCases(given, _UNUSED, _UNUSED, _UNUSED, _UNUSED))
    request = user_pb2.GetUserProfileRequest(user_id=_ID)
    return _Kind(
        USER_PROFILE,
        lambda: users.get_many([_ID]),
        given,
        lambda: handler.GetUserProfile(request, _UNUSED),
        user_pb2.GetUserProfileResponse,
    )


async def _members(kind: _Kind[Any]) -> Sequence[Member]:
    value = (await kind.load())[_ID].value
    raw = kind.lookup.entry(_ID, Snapshot(value)).raw
    kind.given.snapshot = Snapshot(value)
    serialized = await kind.answer()
    if not isinstance(serialized, bytes):
        raise NotWhatItClaimsError("the answer is not serialized")

    def read() -> Snapshot[Any]:
        snapshot = kind.lookup.read(_ID, raw).snapshot
        if snapshot is None:
            raise NotWhatItClaimsError("the JSON has no value")
        return snapshot

    def answer_of(snapshot: Callable[[], Snapshot[Any]]) -> Callable[[], Awaitable[object]]:
        def call() -> Awaitable[object]:
            kind.given.snapshot = snapshot()
            return kind.answer()

        return call

    kept = Snapshot(value)
    return [
        Local(_WHOLE, awaited(answer_of(read), lambda made: made == serialized)),
        Local(_FROM_BSON, awaited(kind.load, lambda found: found[_ID].value == value)),
        Local(
            _TO_JSON,
            repeated(
                lambda: kind.lookup.entry(_ID, Snapshot(value)),
                lambda entry: len(entry.raw) == len(raw),
            ),
        ),
        Local(_FROM_JSON, repeated(read, lambda snapshot: snapshot.value == value)),
        Local(
            _TO_ANSWER, awaited(answer_of(lambda: Snapshot(value)), lambda made: made == serialized)
        ),
        Local(_MADE_BEFORE, awaited(answer_of(lambda: kept), lambda made: made == serialized)),
        Local(
            _TO_MESSAGE,
            repeated(
                lambda: kind.message.FromString(serialized),
                lambda message: message.SerializeToString() == serialized,
            ),
        ),
    ]


def _group(name: str, make: Callable[[], _Kind[Any]]) -> Group:
    @asynccontextmanager
    async def opened(_setting: Setting) -> AsyncIterator[Sequence[Member]]:
        yield await _members(make())

    opening: Callable[[Setting], AbstractAsyncContextManager[Sequence[Member]]] = opened
    return Group(name, _NAMES, opening)


GROUPS: Final = (
    _group("codec of a product", _products),
    _group(f"codec of {ORDERS_PER_USER} orders", _orders),
    _group("codec of a profile", _profiles),
)
