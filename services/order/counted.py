"""The orders, with what becomes of each checkout counted once MongoDB has it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from services.common.paging import Page
from services.common.snapshot import Snapshot
from services.order.figures import CheckoutFigures
from services.order.model import Checkout, Order, Unsettled
from services.order.ports import Orders


@dataclass(frozen=True, slots=True)
class CountedOrders:
    """``Orders`` whose changes are counted."""

    orders: Orders
    figures: CheckoutFigures

    async def open(self, checkout: Checkout) -> Checkout:
        """Store a new checkout, or return the one known, and count which."""
        opened = await self.orders.open(checkout)
        if opened.order.order_id == checkout.order.order_id:
            self.figures.begun += 1
        else:
            self.figures.repeated += 1
        return opened

    async def save(self, changed: Checkout) -> bool:
        """Store the next version of a checkout and count what its order has become."""
        saved = await self.orders.save(changed)
        if saved:
            self.figures.moved(changed.order)
        else:
            self.figures.overtaken += 1
        return saved

    async def note(self, progress: Checkout) -> bool:
        """Store the next version of a checkout and count it as settled or given up."""
        noted = await self.orders.note(progress)
        if not noted:
            self.figures.overtaken += 1
        elif progress.settled:
            self.figures.settled += 1
        else:
            self.figures.given_up += 1
        return noted

    async def touch(self, checkout: Checkout, ahead_s: float = 0.0) -> None:
        """Let a checkout count as touched."""
        await self.orders.touch(checkout, ahead_s)

    async def get(self, order_id: str) -> Checkout:
        """Return a checkout."""
        return await self.orders.get(order_id)

    async def page_of_user(self, user_id: str, size: int, token: str) -> Snapshot[Page[Order]]:
        """Return a page of a user's orders."""
        return await self.orders.page_of_user(user_id, size, token)

    async def newest_of_users(
        self, user_ids: Collection[str]
    ) -> Mapping[str, Snapshot[Page[Order]]]:
        """Return the first page of each user's orders."""
        return await self.orders.newest_of_users(user_ids)

    async def unsettled(self, min_age_s: float, limit: int) -> Unsettled:
        """Return old checkouts not settled."""
        return await self.orders.unsettled(min_age_s, limit)
