"""What can be read, and what rank an answer shows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2
from shop.user.v1 import user_pb2

from bench.prove_cache.plan import Stocked

if TYPE_CHECKING:  # the asynchronous stubs are there for type checkers only
    from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceAsyncStub
    from shop.order.v1.order_pb2_grpc import OrderServiceAsyncStub
    from shop.user.v1.user_pb2_grpc import UserServiceAsyncStub

CALL_TIMEOUT_S: Final = 10.0

Ranks = dict[str, int | None]


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
    """A read that can be asked of either twin: about what, how, and what the answer shows.

    ``ranks`` raises ``WrongObjectError`` if the answer is about something else.
    """

    targets: tuple[str, ...]
    service: str
    ask: Callable[[Twin, Any], Any]
    ranks: Callable[[Any], Ranks]

    @property
    def target(self) -> str:
        """What is asked about, if that is one thing."""
        (target,) = self.targets
        return target


@dataclass(frozen=True, slots=True)
class View:
    """A side of a product: its version, or how much of it was sold."""

    target: str
    product_id: str
    rank: Callable[[inventory_pb2.Product], int]


def version(product_id: str) -> View:
    """Return the view whose rank is the product's version."""
    return View(f"product:{product_id}", product_id, lambda product: product.version)


def sold(stocked: Stocked) -> View:
    """Return the view whose rank is the number of pieces sold."""
    return View(
        f"stock:{stocked.product_id}",
        stocked.product_id,
        lambda product: stocked.initial - product.stock,
    )


def product(view: View) -> Question:
    """Return the question after one product."""
    request = inventory_pb2.GetProductRequest(product_id=view.product_id)

    def ranks(answer: inventory_pb2.GetProductResponse) -> Ranks:
        _confirm(answer.product.product_id, view.product_id)
        return {view.target: view.rank(answer.product)}

    return Question(
        (view.target,),
        "inventory",
        lambda twin, metadata: twin.inventory.GetProduct(
            request, timeout=CALL_TIMEOUT_S, metadata=metadata
        ),
        ranks,
    )


def products(views: tuple[View, ...]) -> Question:
    """Return the question after several products in one call."""
    by_id = {view.product_id: view for view in views}
    request = inventory_pb2.BatchGetProductsRequest(product_ids=list(by_id))

    def ranks(answer: inventory_pb2.BatchGetProductsResponse) -> Ranks:
        if {*answer.missing_ids, *(shown.product_id for shown in answer.products)} != set(by_id):
            raise WrongObjectError
        found: Ranks = {by_id[product_id].target: None for product_id in answer.missing_ids}
        for shown in answer.products:
            view = by_id[shown.product_id]
            found[view.target] = view.rank(shown)
        return found

    return Question(
        tuple(view.target for view in views),
        "inventory",
        lambda twin, metadata: twin.inventory.BatchGetProducts(
            request, timeout=CALL_TIMEOUT_S, metadata=metadata
        ),
        ranks,
    )


def profile(user_id: str) -> Question:
    """Return the question after a profile; the number in the full name is its rank."""
    target = f"profile:{user_id}"
    request = user_pb2.GetUserProfileRequest(user_id=user_id)

    def ranks(answer: user_pb2.GetUserProfileResponse) -> Ranks:
        _confirm(answer.user.user_id, user_id)
        return {target: int(answer.user.full_name.rpartition(" ")[2])}

    return Question(
        (target,),
        "user",
        lambda twin, metadata: twin.users.GetUserProfile(
            request, timeout=CALL_TIMEOUT_S, metadata=metadata
        ),
        ranks,
    )


def orders(user_id: str) -> Question:
    """Return the question after a user's orders.

    The n-th order is for n pieces. Its rank is 2n, and 2n - 1 until it is decided.
    """
    target = f"orders:{user_id}"
    request = order_pb2.ListUserOrdersRequest(user_id=user_id)

    def ranks(answer: order_pb2.ListUserOrdersResponse) -> Ranks:
        for order in answer.orders:
            _confirm(order.user_id, user_id)
        return {target: max(map(_order_rank, answer.orders), default=0)}

    return Question(
        (target,),
        "order",
        lambda twin, metadata: twin.orders.ListUserOrders(
            request, timeout=CALL_TIMEOUT_S, metadata=metadata
        ),
        ranks,
    )


def _order_rank(order: order_pb2.Order) -> int:
    number = order.lines[0].quantity
    return 2 * number - (order.status == order_pb2.ORDER_STATUS_PENDING)


def _confirm(shown_id: str, wanted_id: str) -> None:
    if shown_id != wanted_id:
        raise WrongObjectError
