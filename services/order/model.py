"""Orders, the checkouts that make them, and their rules."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from services.common.errors import AlreadyExists, FailedPrecondition, NotFound, Unavailable
from services.common.money import CURRENCY_CODE, Money
from services.common.paging import DEFAULT_PAGE_SIZE, Page, encode_time_token
from services.common.validation import FieldChecks

MAX_ITEMS: Final = 100
MAX_QUANTITY: Final = 10_000
MAX_TOTAL: Final = 10**18
MAX_ATTEMPTS: Final = 100
MAX_PAGE_BYTES: Final = 2 * 1024 * 1024
"""Half of what clients of gRPC take by default; 20 orders, however large, have room."""

_ORDER_BYTES: Final = 256  # of a message, without its lines and its reject_message, at most
_LINE_BYTES: Final = 96  # without the product's name


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
_IRREVOCABLE: Final = {OrderStatus.SHIPPED, OrderStatus.DELIVERED}


class RejectReason(StrEnum):
    """Why an order was refused."""

    INSUFFICIENT_STOCK = "INSUFFICIENT_STOCK"
    PRODUCT_NOT_FOUND = "PRODUCT_NOT_FOUND"
    USER_NOT_FOUND = "USER_NOT_FOUND"
    USER_NOT_ACTIVE = "USER_NOT_ACTIVE"
    MIXED_CURRENCIES = "MIXED_CURRENCIES"
    PRICE_CHANGED = "PRICE_CHANGED"
    TOO_MANY_ATTEMPTS = "TOO_MANY_ATTEMPTS"
    ABANDONED = "ABANDONED"


class OrderNotFound(NotFound):
    """There is no such order, or none that the caller may see."""

    reason = "ORDER_NOT_FOUND"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"there is no order {order_id}", {"order_id": order_id})


class RequestIdReused(AlreadyExists):
    """The user ordered other items, or expected another total, under this request id."""

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
    has decided; then the reservation of the present attempt is committed or released, that of
    the attempt before is released, and the checkout is ``settled``.

    ``failures`` counts how often this version could not be reconciled.
    """

    order: Order
    request_id: str
    expected_total: Money | None = None
    attempt: int = 1
    settled: bool = False
    version: int = 1
    failures: int = 0

    @classmethod
    def begin(
        cls,
        order_id: str,
        user_id: str,
        request_id: str,
        items: Sequence[OrderItem],
        now: datetime,
        expected_total: Money | None = None,
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
        return cls(order, request_id, expected_total)

    @property
    def pending(self) -> bool:
        """Whether nothing is decided yet."""
        return self.order.status is OrderStatus.PENDING

    @property
    def sold(self) -> bool:
        """Whether the stock is the customer's."""
        return not self.pending and self.order.status not in _UNSOLD

    @property
    def irrevocable(self) -> bool:
        """Whether the order can no longer be cancelled."""
        return self.order.status in _IRREVOCABLE

    @property
    def items(self) -> list[OrderItem]:
        """What to buy."""
        return [OrderItem(line.product_id, line.quantity) for line in self.order.lines]

    @property
    def reservation_id(self) -> str:
        """The name of the present attempt's reservation."""
        return _reservation_id(self.order.order_id, self.attempt)

    @property
    def unreleased_reservation_ids(self) -> list[str]:
        """The names of earlier attempts' reservations that may not be released yet.

        That is one at most: an attempt reserves once the one before has given back what it held.
        """
        before = self.attempt - 1
        return [_reservation_id(self.order.order_id, before)] if before else []

    def confirm_same(self, begun: "Checkout") -> None:
        """Raise ``RequestIdReused`` unless a request that began so may get this order."""
        if set(self.items) != set(begun.items) or self.expected_total != begun.expected_total:
            raise RequestIdReused(
                f"request_id {self.request_id} stands for an order of other items or another "
                "expected_total",
                {"order_id": self.order.order_id},
            )

    def ensure_attempts_left(self) -> None:
        """Raise ``RejectedError`` if the attempts are used up."""
        if self.attempt > MAX_ATTEMPTS:
            raise RejectedError(
                RejectReason.TOO_MANY_ATTEMPTS,
                f"{MAX_ATTEMPTS} attempts to reserve the stock were broken off",
            )

    def confirmed(self, lines: Sequence[OrderLine], now: datetime) -> "Checkout":
        """Return the checkout as sold at these lines. Raises ``RejectedError``."""
        total = _sum_of(lines)
        if self.expected_total is not None and self.expected_total != total:
            raise RejectedError(
                RejectReason.PRICE_CHANGED,
                f"the items cost {_words(total)}, expected were {_words(self.expected_total)}",
            )
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
        # Inventory is told once that the sale has become irrevocable.
        settled = self.settled and self.irrevocable
        return self._next(order=self.order.moved(status, now, along=_ON_ITS_WAY), settled=settled)

    def given_up(self) -> "Checkout":
        """Return the checkout ready for its next attempt."""
        return self._next(attempt=self.attempt + 1)

    def followed(self) -> "Checkout":
        """Return the checkout with its stock where the order says."""
        return self._next(settled=True)

    def failed(self) -> "Checkout":
        """Return the same version of the checkout, having failed to be reconciled once more."""
        return replace(self, failures=self.failures + 1)

    def _decided(self, order: Order) -> "Checkout":
        return self._next(order=order, settled=False)

    def _next(self, **changes: Any) -> "Checkout":
        return replace(self, version=self.version + 1, failures=0, **changes)


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Checkouts that nobody has touched for long.

    ``oldest_s`` is for how long the first of them has been left alone. ``failing`` counts those
    that could not be reconciled so far, among all that are not settled.
    """

    checkouts: Sequence[Checkout]
    oldest_s: float
    failing: int


def _reservation_id(order_id: str, attempt: int) -> str:
    return f"{order_id}-{attempt}"


def order_id_of(reservation_id: str) -> str:
    """Return which order a reservation was made for."""
    return reservation_id.partition("-")[0]


def _words(money: Money) -> str:
    return f"{money.minor_units} {money.currency_code} in minor units"


def _sum_of(lines: Sequence[OrderLine]) -> Money:
    totals = [line.line_total for line in lines if line.line_total is not None]
    currencies = {total.currency_code for total in totals}
    if len(currencies) != 1:
        raise RejectedError(
            RejectReason.MIXED_CURRENCIES,
            f"the products are priced in {', '.join(sorted(currencies))}",
        )
    return Money(currencies.pop(), sum(total.minor_units for total in totals))


def check_items(
    items: Sequence[OrderItem], request_id: str, expected_total: Money | None = None
) -> None:
    """Raise ``InvalidArgument`` if a request to buy breaks a rule."""
    checks = FieldChecks()
    checks.name("request_id", request_id)
    seen: set[str] = set()
    for path, item in checks.entries("items", items, at_least=1, at_most=MAX_ITEMS):
        checks.identifier(f"{path}.product_id", item.product_id)
        checks.require(item.product_id not in seen, f"{path}.product_id", "is listed twice")
        checks.number(f"{path}.quantity", item.quantity, at_least=1, at_most=MAX_QUANTITY)
        seen.add(item.product_id)
    if expected_total is not None:
        checks.matches(
            "expected_total.currency_code",
            expected_total.currency_code,
            CURRENCY_CODE,
            "must be three upper-case letters (ISO 4217)",
        )
        checks.number(
            "expected_total.minor_units",
            expected_total.minor_units,
            at_least=0,
            at_most=MAX_TOTAL,
        )
    checks.finish()


def page_scope(user_id: str) -> tuple[str, ...]:
    """Return what a page token of one user's orders is good for."""
    return ("ListUserOrders", user_id)


def first_orders(user_id: str, orders: Sequence[Order], size: int) -> Page[Order]:
    """Return the first ``size`` of a user's orders as a page, or fewer if they are large."""
    items = tuple(_fitting(orders[:size]))
    if len(items) == len(orders):
        return Page(items, "")
    last = items[-1]
    return Page(items, encode_time_token(last.create_time, last.order_id, page_scope(user_id)))


def _fitting(orders: Sequence[Order]) -> Sequence[Order]:
    """Return as many of the orders as ``MAX_PAGE_BYTES`` hold, which is 20 of any size."""
    if len(orders) <= DEFAULT_PAGE_SIZE:
        return orders
    room = MAX_PAGE_BYTES
    for count, order in enumerate(orders):
        room -= _ORDER_BYTES + len(order.reject_message.encode())
        room -= sum(_LINE_BYTES + len(line.name.encode()) for line in order.lines)
        if room < 0:
            return orders[: max(count, DEFAULT_PAGE_SIZE)]
    return orders


def shortened(user_id: str, page: Page[Order], size: int) -> Page[Order]:
    """Return the page with its first ``size`` orders."""
    return page if len(page.items) <= size else first_orders(user_id, page.items, size)
