"""What the use cases need from outside."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from services.common.paging import Page
from services.common.snapshot import Snapshot
from services.order.model import Checkout, Order, OrderItem, OrderLine, Unsettled


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

    async def touch(self, checkout: Checkout, ahead_s: float = 0.0) -> None:
        """Let a checkout of this version count as touched now, or so much later.

        Remembers its failures. Nothing else of it changes.
        """
        ...

    async def page_of_user(self, user_id: str, size: int, token: str) -> Snapshot[Page[Order]]:
        """Return a page of a user's orders, newest first."""
        ...

    async def newest_of_users(
        self, user_ids: Collection[str]
    ) -> Mapping[str, Snapshot[Page[Order]]]:
        """Return the first page, of the default size, of each user's orders."""
        ...

    async def unsettled(self, min_age_s: float, limit: int) -> Unsettled:
        """Return checkouts not settled and not touched for so long, oldest first.

        The store's clock alone tells ages.
        """
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

    async def commit(self, reservation_id: str, *, irrevocable: bool) -> None:
        """Turn held stock into sold stock. What is ``irrevocable`` is never released."""
        ...

    async def release(self, reservation_id: str) -> None:
        """Give held or sold stock back."""
        ...

    async def held(self, min_age_s: float, token: str) -> Page[str]:
        """Return a page of the names of reservations held for so long, oldest first."""
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
