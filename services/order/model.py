"""Orders, the checkouts that make them, and their rules."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.common.errors import AlreadyExists, FailedPrecondition, NotFound, Unavailable
from services.common.money import Money
from services.common.paging import Page, encode_time_token
from services.common.validation import FieldChecks

MAX_ITEMS: Final = 100
MAX_QUANTITY: Final = 10_000


class OrderStatus(StrEnum):
    """Where an order stands."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    SHIPPED = "SHIPPED"
    DELIVERED = "DELIVERED"


Edges = Collection[tuple[OrderStatus, OrderStatus]]

_ON_ITS_WAY: Final[Edges] = {
    (OrderStatus.CONFIRMED, OrderStatus.SHIPPED),
    (OrderStatus.SHIPPED, OrderStatus.DELIVERED),
}
_EDGES: Final[Edges] = {
    (OrderStatus.PENDING, OrderStatus.CONFIRMED),
    (OrderStatus.PENDING, OrderStatus.REJECTED),
    (OrderStatus.PENDING, OrderStatus.CANCELLED),
    (OrderStatus.CONFIRMED, OrderStatus.CANCELLED),
    *_ON_ITS_WAY,
}
_UNSOLD: Final = {OrderStatus.REJECTED, OrderStatus.CANCELLED}


class RejectReason(StrEnum):
    """Why an order was refused."""

    INSUFFICIENT_STOCK = "INSUFFICIENT_STOCK"
    PRODUCT_NOT_FOUND = "PRODUCT_NOT_FOUND"
    USER_NOT_FOUND = "USER_NOT_FOUND"
    USER_NOT_ACTIVE = "USER_NOT_ACTIVE"
    MIXED_CURRENCIES = "MIXED_CURRENCIES"
    ABANDONED = "ABANDONED"


class OrderNotFound(NotFound):
    """There is no such order, or none that the caller may see."""

    reason = "ORDER_NOT_FOUND"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"there is no order {order_id}", {"order_id": order_id})


class RequestIdReused(AlreadyExists):
    """The user ordered other items under this request id."""

    reason = "REQUEST_ID_REUSED"


class ForbiddenMove(FailedPrecondition):
    """No edge leads from the order's status to the wanted one."""

    reason = "STATUS_MOVE_NOT_ALLOWED"


class CheckoutInterrupted(Unavailable):
    """Others kept changing the order; repeat the call with the same request id."""

    reason = "CHECKOUT_INTERRUPTED"


class RejectedError(Exception):
    """A checkout is refused, which its order records."""

    def __init__(self, reason: RejectReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class AttemptGivenUpError(Exception):
    """Somebody else gave this attempt to reserve stock up meanwhile."""


@dataclass(frozen=True, slots=True)
class OrderItem:
    """How much of which product to buy."""

    product_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class OrderLine:
    """How much of a product was bought, under which name and at what price.

    Until the order is confirmed, there is no name and no price.
    """

    product_id: str
    quantity: int
    name: str = ""
    unit_price: Money | None = None

    @property
    def line_total(self) -> Money | None:
        """The price of all pieces."""
        return None if self.unit_price is None else self.unit_price.times(self.quantity)


@dataclass(frozen=True, slots=True)
class Order:
    """What one user bought in one checkout."""

    order_id: str
    user_id: str
    status: OrderStatus
    lines: tuple[OrderLine, ...]
    total: Money | None
    reject_reason: str
    reject_message: str
    create_time: datetime
    update_time: datetime

    def moved(self, status: OrderStatus, now: datetime, along: Edges = _EDGES) -> "Order":
        """Return the order with another status. Raises ``ForbiddenMove``."""
        if (self.status, status) not in along:
            raise ForbiddenMove(
                f"order {self.order_id} is {self.status} and cannot become {status}",
                {"order_id": self.order_id, "status": self.status.value},
            )
        return replace(self, status=status, update_time=now)


@dataclass(frozen=True, slots=True)
class Checkout:
    """An order and how far its stock has followed it.

    The order decides and the stock follows: whoever changes the order first, by ``version``,
    has decided; then the reservation of the present attempt is committed or released, those of
    earlier attempts are released, and the checkout is ``settled``.
    """

    order: Order
    request_id: str
    attempt: int = 1
    settled: bool = False
    version: int = 1

    @classmethod
    def begin(
        cls, order_id: str, user_id: str, request_id: str, items: Sequence[OrderItem], now: datetime
    ) -> "Checkout":
        """Return a new checkout, whose order is PENDING."""
        lines = tuple(OrderLine(item.product_id, item.quantity) for item in items)
        order = Order(
            order_id,
            user_id,
            OrderStatus.PENDING,
            lines,
            None,
            "",
            "",
            create_time=now,
            update_time=now,
        )
        return cls(order, request_id)

    @property
    def pending(self) -> bool:
        """Whether nothing is decided yet."""
        return self.order.status is OrderStatus.PENDING

    @property
    def sold(self) -> bool:
        """Whether the stock is the customer's."""
        return not self.pending and self.order.status not in _UNSOLD

    @property
    def items(self) -> list[OrderItem]:
        """What to buy."""
        return [OrderItem(line.product_id, line.quantity) for line in self.order.lines]

    @property
    def reservation_id(self) -> str:
        """The name of the present attempt's reservation."""
        return _reservation_id(self.order.order_id, self.attempt)

    @property
    def given_up_reservation_ids(self) -> list[str]:
        """The names of the earlier attempts' reservations."""
        return [_reservation_id(self.order.order_id, n) for n in range(1, self.attempt)]

    def confirm_same(self, items: Sequence[OrderItem]) -> None:
        """Raise ``RequestIdReused`` unless a request for these items may get this order."""
        if self.items != list(items):
            raise RequestIdReused(
                f"request_id {self.request_id} stands for an order of other items",
                {"order_id": self.order.order_id},
            )

    def confirmed(self, lines: Sequence[OrderLine], now: datetime) -> "Checkout":
        """Return the checkout as sold at these lines. Raises ``RejectedError``."""
        total = _sum_of(lines)
        order = replace(
            self.order.moved(OrderStatus.CONFIRMED, now), lines=tuple(lines), total=total
        )
        return self._decided(order)

    def rejected(self, why: RejectedError, now: datetime) -> "Checkout":
        """Return the checkout as refused."""
        order = replace(
            self.order.moved(OrderStatus.REJECTED, now),
            reject_reason=why.reason.value,
            reject_message=why.message,
        )
        return self._decided(order)

    def cancelled(self, now: datetime) -> "Checkout":
        """Return the checkout as cancelled. Raises ``ForbiddenMove``."""
        return self._decided(self.order.moved(OrderStatus.CANCELLED, now))

    def advanced(self, status: OrderStatus, now: datetime) -> "Checkout":
        """Return the checkout with its order shipped or delivered. Raises ``ForbiddenMove``."""
        order = self.order.moved(status, now, along=_ON_ITS_WAY)
        return replace(self, order=order, version=self.version + 1)

    def given_up(self) -> "Checkout":
        """Return the checkout ready for its next attempt."""
        return replace(self, attempt=self.attempt + 1, version=self.version + 1)

    def followed(self) -> "Checkout":
        """Return the checkout with its stock where the order says."""
        return replace(self, settled=True, version=self.version + 1)

    def _decided(self, order: Order) -> "Checkout":
        return replace(self, order=order, settled=False, version=self.version + 1)


def _reservation_id(order_id: str, attempt: int) -> str:
    return f"{order_id}-{attempt}"


def order_id_of(reservation_id: str) -> str:
    """Return which order a reservation was made for."""
    return reservation_id.partition("-")[0]


def _sum_of(lines: Sequence[OrderLine]) -> Money:
    totals = [line.line_total for line in lines if line.line_total is not None]
    currencies = {total.currency_code for total in totals}
    if len(currencies) != 1:
        raise RejectedError(
            RejectReason.MIXED_CURRENCIES,
            f"the products are priced in {', '.join(sorted(currencies))}",
        )
    return Money(currencies.pop(), sum(total.minor_units for total in totals))


def check_items(items: Sequence[OrderItem], request_id: str) -> None:
    """Raise ``InvalidArgument`` if a request to buy breaks a rule."""
    checks = FieldChecks()
    checks.name("request_id", request_id)
    seen: set[str] = set()
    for path, item in checks.entries("items", items, at_least=1, at_most=MAX_ITEMS):
        checks.identifier(f"{path}.product_id", item.product_id)
        checks.require(item.product_id not in seen, f"{path}.product_id", "is listed twice")
        checks.number(f"{path}.quantity", item.quantity, at_least=1, at_most=MAX_QUANTITY)
        seen.add(item.product_id)
    checks.finish()


def page_scope(user_id: str) -> tuple[str, ...]:
    """Return what a page token of one user's orders is good for."""
    return ("ListUserOrders", user_id)


def first_orders(user_id: str, orders: Sequence[Order], size: int) -> Page[Order]:
    """Return the first ``size`` of a user's orders as a page."""
    items = tuple(orders[:size])
    if len(orders) <= size:
        return Page(items, "")
    last = items[-1]
    return Page(items, encode_time_token(last.create_time, last.order_id, page_scope(user_id)))


def shortened(user_id: str, page: Page[Order], size: int) -> Page[Order]:
    """Return the page with its first ``size`` orders."""
    return page if len(page.items) <= size else first_orders(user_id, page.items, size)
