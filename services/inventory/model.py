"""Products and reservations of stock, and their rules."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from services.common.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
)
from services.common.money import CURRENCY_CODE, MAX_MINOR_UNITS, Money
from services.common.validation import FieldChecks

MAX_STOCK: Final = 10**9
MAX_QUANTITY: Final = 10_000
MAX_ITEMS: Final = 100
MAX_BATCH: Final = 100
MAX_QUERY_CHARS: Final = 200
MAX_TAGS: Final = 20
_CATEGORY: Final = re.compile(r"[a-z0-9-]{1,64}")


class ProductNotFound(NotFound):
    """No product has this identifier."""

    reason = "PRODUCT_NOT_FOUND"

    def __init__(self, product_id: str) -> None:
        super().__init__(f"there is no product {product_id}", {"product_id": product_id})


class SkuTaken(AlreadyExists):
    """Another product has this sku."""

    reason = "SKU_TAKEN"


class ProductRequestIdReused(AlreadyExists):
    """Something else was asked for under this request id."""

    reason = "PRODUCT_REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"request_id {request_id} stands for another request", {"request_id": request_id}
        )


class ProductChanged(Aborted):
    """The product is no longer at the version that the caller read."""

    reason = "VERSION_CONFLICT"


class ProductReserved(FailedPrecondition):
    """The product cannot go while some of it is reserved."""

    reason = "PRODUCT_RESERVED"


class InsufficientStock(FailedPrecondition):
    """There is less of a product than asked for."""

    reason = "INSUFFICIENT_STOCK"

    def __init__(self, product_id: str, wanted: int, available: int) -> None:
        super().__init__(
            f"of product {product_id} {available} are left, {wanted} are wanted",
            {"product_id": product_id, "available": str(available)},
        )


class StockLimitExceeded(FailedPrecondition):
    """There would be more of a product than may be."""

    reason = "STOCK_LIMIT_EXCEEDED"

    def __init__(self, product_id: str, delta: int, available: int) -> None:
        super().__init__(
            f"of product {product_id} {available:,} are there, {delta:,} more exceed {MAX_STOCK:,}",
            {"product_id": product_id, "available": str(available)},
        )


class ReservationNotOwned(PermissionDenied):
    """The reservation is another service's."""

    reason = "RESERVATION_NOT_OWNED"


class ReservationNotFound(NotFound):
    """Nothing was ever reserved under this name."""

    reason = "RESERVATION_NOT_FOUND"


class ReservationReleased(FailedPrecondition):
    """The reservation was given back, for good."""

    reason = "RESERVATION_RELEASED"


class ReservationIdReused(AlreadyExists):
    """The name stands for a reservation of other items."""

    reason = "RESERVATION_ID_REUSED"


@dataclass(frozen=True, slots=True)
class Product:
    """One article of the catalogue and how many pieces of it are available."""

    product_id: str
    sku: str
    name: str
    description: str
    category: str
    price: Money
    stock: int
    tags: tuple[str, ...]
    version: int
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class ProductDraft:
    """What an administrator says about a product."""

    sku: str
    name: str
    description: str
    category: str
    price: Money
    stock: int
    tags: tuple[str, ...]

    def check(self, fields: Collection[str]) -> None:
        """Raise ``InvalidArgument`` if any of the named fields breaks its rule."""
        checks = FieldChecks()
        for field in fields:
            _FIELD_RULES[field](self, checks)
        checks.finish()


def _check_price(draft: ProductDraft, checks: FieldChecks) -> None:
    checks.matches(
        "product.price.currency_code",
        draft.price.currency_code,
        CURRENCY_CODE,
        "must be three upper-case letters (ISO 4217)",
    )
    checks.number(
        "product.price.minor_units", draft.price.minor_units, at_least=0, at_most=MAX_MINOR_UNITS
    )


def _check_tags(draft: ProductDraft, checks: FieldChecks) -> None:
    for path, tag in checks.entries("product.tags", draft.tags, at_least=0, at_most=MAX_TAGS):
        checks.text(path, tag, at_least=1, at_most=50)


_FIELD_RULES: Final = {
    "sku": lambda draft, checks: checks.name("product.sku", draft.sku),
    "name": lambda draft, checks: checks.text("product.name", draft.name, at_least=1, at_most=200),
    "description": lambda draft, checks: checks.text(
        "product.description", draft.description, at_most=4_000
    ),
    "category": lambda draft, checks: checks.matches(
        "product.category",
        draft.category,
        _CATEGORY,
        "must be 1 to 64 of lower-case letters, digits and '-'",
    ),
    "price": _check_price,
    "stock": lambda draft, checks: checks.number(
        "product.stock", draft.stock, at_least=0, at_most=MAX_STOCK
    ),
    "tags": _check_tags,
}

PRODUCT_FIELDS: Final = tuple(_FIELD_RULES)
"""The fields of a product that an administrator may set."""


@dataclass(frozen=True, slots=True)
class ProductFilter:
    """Which part of the catalogue to list; an empty text does not filter."""

    category: str = ""
    query: str = ""

    def check(self) -> None:
        """Raise ``InvalidArgument`` if a filter breaks its rule."""
        checks = FieldChecks()
        checks.text("category", self.category, at_most=64)
        checks.text("query", self.query, at_most=MAX_QUERY_CHARS)
        checks.finish()


@dataclass(frozen=True, slots=True)
class Adjustment:
    """An amount by which an administrator moves a product's stock, once per request id."""

    request_id: str
    product_id: str
    delta: int

    def check(self) -> None:
        """Raise ``InvalidArgument`` if it breaks a rule."""
        checks = FieldChecks()
        checks.identifier("product_id", self.product_id)
        checks.number("delta", self.delta, at_least=-MAX_STOCK, at_most=MAX_STOCK)
        checks.require(self.delta != 0, "delta", "must not be 0")
        checks.name("request_id", self.request_id)
        checks.finish()


@dataclass(frozen=True, slots=True)
class HeldFilter:
    """Which held reservations to list: one owner's, and of those the ones that are old enough."""

    owner: str
    before: datetime | None = None
    min_age: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ReservationItem:
    """How much of which product to hold back."""

    product_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class ReservedLine:
    """A reserved item with the name and the price that hold for it."""

    product_id: str
    name: str
    quantity: int
    unit_price: Money


class ReservationState(StrEnum):
    """HELD until it is COMMITTED (sold) or RELEASED (given back); RELEASED is final."""

    HELD = "HELD"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"


@dataclass(frozen=True, slots=True)
class Reservation:
    """Stock held back under a name that its owner, a service, chose.

    Reservations of the time before they had owners have none: any service may use them.
    """

    reservation_id: str
    owner: str
    state: ReservationState
    lines: tuple[ReservedLine, ...]
    create_time: datetime

    def confirm_owned(self, caller: str) -> None:
        """Raise ``ReservationNotOwned`` unless this service may use the reservation."""
        if self.owner not in {"", caller}:
            raise ReservationNotOwned(f"reservation {self.reservation_id} is not of {caller}")

    def confirm_kept(self) -> None:
        """Raise ``ReservationReleased`` if the stock was given back."""
        if self.state is ReservationState.RELEASED:
            raise ReservationReleased(f"reservation {self.reservation_id} was released")

    def lines_of(self, items: Sequence[ReservationItem]) -> list[ReservedLine]:
        """Return the lines in the order of these items.

        Raises ``ReservationReleased``, and ``ReservationIdReused`` if it holds other items.
        """
        self.confirm_kept()
        lines = {(line.product_id, line.quantity): line for line in self.lines}
        wanted = [(item.product_id, item.quantity) for item in items]
        if len(lines) != len(wanted) or lines.keys() != set(wanted):
            raise ReservationIdReused(f"reservation {self.reservation_id} holds other items")
        return [lines[item] for item in wanted]


def check_items(items: Sequence[ReservationItem]) -> None:
    """Raise ``InvalidArgument`` if the items of a reservation break a rule."""
    checks = FieldChecks()
    seen: set[str] = set()
    for path, item in checks.entries("items", items, at_least=1, at_most=MAX_ITEMS):
        checks.identifier(f"{path}.product_id", item.product_id)
        checks.require(item.product_id not in seen, f"{path}.product_id", "is listed twice")
        checks.number(f"{path}.quantity", item.quantity, at_least=1, at_most=MAX_QUANTITY)
        seen.add(item.product_id)
    checks.finish()
