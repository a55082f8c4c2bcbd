"""The calls of a client process, and the note that each leaves in the history."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc import aio
from shop.inventory.v1 import inventory_pb2
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from shop.order.v1 import order_pb2
from shop.order.v1.order_pb2_grpc import OrderServiceStub
from shop.user.v1 import user_pb2
from shop.user.v1.user_pb2_grpc import UserServiceStub

from bench.prove_cache.history import OK, UNLABELLED, History, Read
from bench.prove_cache.plan import Plan, Stocked
from bench.prove_cache.twins import TWINS

if TYPE_CHECKING:  # the asynchronous stubs are there for type checkers only
    from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceAsyncStub
    from shop.order.v1.order_pb2_grpc import OrderServiceAsyncStub
    from shop.user.v1.user_pb2_grpc import UserServiceAsyncStub

CALL_TIMEOUT_S: Final = 10.0
WRONG_OBJECT: Final = "WRONG_OBJECT"
"""The code of a read that was answered with somebody else's value."""

_SOURCE_KEY: Final = "x-cache"
_PAUSE_AFTER_FAILURE_S: Final = 0.05
_CHANNEL_OPTIONS: Final = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)


class WrongObjectError(Exception):
    """An answer shows another object than was asked for."""


@dataclass(frozen=True, slots=True)
class Twin:
    """One process of each service."""

    users: "UserServiceAsyncStub"
    inventory: "InventoryServiceAsyncStub"
    orders: "OrderServiceAsyncStub"


@dataclass(frozen=True, slots=True)
class Question:
    """A read that can be asked of either twin: how to ask, and what rank the answer shows."""

    target: str
    service: str
    ask: Callable[[Twin, Any], Any]
    rank: Callable[[Any], int]


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata of a caller with this token."""
    return (("authorization", f"Bearer {token}"),)


@dataclass(slots=True)
class Desk:
    """Reads, and writes the history."""

    plan: Plan
    twins: Sequence[Twin]
    history: History = field(default_factory=History)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, question: Question, twin: int, asked: str = "") -> Read:
        """Ask one twin, note what it shows, and return the note."""
        metadata = bearer(self.plan.service)
        if asked:
            metadata += (("cache-control", asked),)
        shown, source, code = None, "", OK
        start = time.monotonic()
        call = question.ask(self.twins[twin], metadata)
        try:
            shown = question.rank(await call)
            source = _source(await call.trailing_metadata())
        except WrongObjectError:
            code = WRONG_OBJECT
        except aio.AioRpcError as error:
            source = _source(error.trailing_metadata())
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                code = error.code().name
        end = time.monotonic()
        by = f"{question.service}-{twin}"
        note = Read(question.target, shown, start, end, source, asked, by, code)
        self.history.reads.append(note)
        if code != OK:
            await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
        return note

    async def once(self, call: Awaitable[Any]) -> Any:
        """Return the answer to a write, None if it failed, which leaves its outcome open."""
        try:
            return await call
        except aio.AioRpcError as error:
            self.history.failed_writes[error.code().name] += 1
            await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
            return None


def _source(metadata: Any) -> str:
    for key, value in metadata or ():
        if key == _SOURCE_KEY:
            return str(value).partition(";")[0].strip()
    return UNLABELLED


# ---- what can be read


def product(product_id: str) -> Question:
    """Return the question after a product; its version is its rank."""
    request = inventory_pb2.GetProductRequest(product_id=product_id)

    def rank(answer: inventory_pb2.GetProductResponse) -> int:
        _confirm(answer.product.product_id, product_id)
        return answer.product.version

    return Question(f"product:{product_id}", "inventory", _get_product(request), rank)


def stock(stocked: Stocked) -> Question:
    """Return the question after a stock; the number of pieces sold is its rank."""
    request = inventory_pb2.GetProductRequest(product_id=stocked.product_id)

    def rank(answer: inventory_pb2.GetProductResponse) -> int:
        _confirm(answer.product.product_id, stocked.product_id)
        return stocked.initial - answer.product.stock

    return Question(f"stock:{stocked.product_id}", "inventory", _get_product(request), rank)


def _get_product(
    request: inventory_pb2.GetProductRequest,
) -> Callable[[Twin, Any], Any]:
    return lambda twin, metadata: twin.inventory.GetProduct(
        request, timeout=CALL_TIMEOUT_S, metadata=metadata
    )


def profile(user_id: str) -> Question:
    """Return the question after a profile; the number in the full name is its rank."""
    request = user_pb2.GetUserProfileRequest(user_id=user_id)

    def rank(answer: user_pb2.GetUserProfileResponse) -> int:
        _confirm(answer.user.user_id, user_id)
        return int(answer.user.full_name.rpartition(" ")[2])

    return Question(
        f"profile:{user_id}",
        "user",
        lambda twin, metadata: twin.users.GetUserProfile(
            request, timeout=CALL_TIMEOUT_S, metadata=metadata
        ),
        rank,
    )


def orders(user_id: str) -> Question:
    """Return the question after a user's orders.

    The n-th order is for n pieces. Its rank is 2n, and 2n - 1 until it is decided.
    """
    request = order_pb2.ListUserOrdersRequest(user_id=user_id)

    def rank(answer: order_pb2.ListUserOrdersResponse) -> int:
        for order in answer.orders:
            _confirm(order.user_id, user_id)
        return max(map(_order_rank, answer.orders), default=0)

    return Question(
        f"orders:{user_id}",
        "order",
        lambda twin, metadata: twin.orders.ListUserOrders(
            request, timeout=CALL_TIMEOUT_S, metadata=metadata
        ),
        rank,
    )


def _order_rank(order: order_pb2.Order) -> int:
    number = order.lines[0].quantity
    return 2 * number - (order.status == order_pb2.ORDER_STATUS_PENDING)


def _confirm(shown_id: str, wanted_id: str) -> None:
    if shown_id != wanted_id:
        raise WrongObjectError


@asynccontextmanager
async def opened_twins(addresses: Mapping[str, str]) -> AsyncIterator[Sequence[Twin]]:
    """Open a connection to every process and close it at the end."""
    async with AsyncExitStack() as opened:
        channels = {
            name: await opened.enter_async_context(
                aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
            )
            for name, address in addresses.items()
        }
        yield [
            Twin(
                UserServiceStub(channels[f"user-{index}"]),
                InventoryServiceStub(channels[f"inventory-{index}"]),
                OrderServiceStub(channels[f"order-{index}"]),
            )
            for index in range(TWINS)
        ]
