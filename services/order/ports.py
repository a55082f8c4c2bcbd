"""What the use cases need from outside."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.common.paging import Page
from services.common.snapshot import Snapshot
from services.order.model import Checkout, Order, OrderItem, OrderLine


class Orders(Protocol):
    """All orders and how far their stock has followed them."""

    async def open(self, checkout: Checkout) -> Checkout:
        """Store a new checkout, or return the one that this user has under its request id."""
        ...

    async def get(self, order_id: str) -> Checkout:
        """Return a checkout. Raises ``OrderNotFound``."""
        ...

    async def save(self, changed: Checkout) -> bool:
        """Store the next version of a checkout; False if somebody else did so first."""
        ...

    async def note(self, progress: Checkout) -> bool:
        """Do as ``save`` for a version whose order shows nothing new."""
        ...

    async def page_of_user(self, user_id: str, size: int, token: str) -> Snapshot[Page[Order]]:
        """Return a page of a user's orders, newest first."""
        ...

    async def newest_of_users(
        self, user_ids: Collection[str]
    ) -> Mapping[str, Snapshot[Page[Order]]]:
        """Return the first page, of the default size, of each user's orders."""
        ...

    async def unsettled(self, before: datetime, limit: int) -> Sequence[Checkout]:
        """Return checkouts not settled and not touched since before a moment, oldest first."""
        ...


class Stock(Protocol):
    """The stock, kept by Inventory. Every method may be repeated.

    All raise ``Unavailable`` or ``DeadlineExceeded`` when the outcome is open.
    """

    async def reserve(self, reservation_id: str, items: Sequence[OrderItem]) -> Sequence[OrderLine]:
        """Hold all items back and return them priced, in the same order.

        Raises ``RejectedError`` when that cannot be, and ``AttemptGivenUpError`` when the
        reservation was released before.
        """
        ...

    async def commit(self, reservation_id: str) -> None:
        """Turn held stock into sold stock."""
        ...

    async def release(self, reservation_id: str) -> None:
        """Give held or sold stock back."""
        ...

    async def held_since(self, before: datetime) -> Sequence[str]:
        """Return the names of some reservations held since before a moment, oldest first."""
        ...


class Customers(Protocol):
    """The people who buy, kept by User."""

    async def confirm_active(self, user_id: str) -> None:
        """Raise ``RejectedError`` unless this user exists and may order."""
        ...


class Aftermath(Protocol):
    """Work that goes on after the answer."""

    def settle(self, checkout: Checkout) -> None:
        """Let the stock follow the decided order."""
        ...

    def give_up(self, checkout: Checkout) -> None:
        """End an attempt whose outcome is open, so that nothing stays reserved."""
        ...
