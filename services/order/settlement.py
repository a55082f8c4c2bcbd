"""Letting the stock follow what was decided about an order."""

from dataclasses import dataclass

from services.common.background import BackgroundTasks
from services.order.model import Checkout
from services.order.ports import Orders, Stock


@dataclass(frozen=True, slots=True)
class Settlement:
    """The steps after a decision. Each may be repeated, by anybody, at any time."""

    orders: Orders
    stock: Stock

    async def settle(self, checkout: Checkout) -> None:
        """Commit or release the order's stock, release that of the attempt before, and note it."""
        for reservation_id in checkout.unreleased_reservation_ids:
            await self.stock.release(reservation_id)
        if checkout.sold:
            await self.stock.commit(checkout.reservation_id, irrevocable=checkout.irrevocable)
        else:
            await self.stock.release(checkout.reservation_id)
        await self.orders.note(checkout.followed())

    async def give_up(self, checkout: Checkout) -> None:
        """Make sure that this attempt can no longer be confirmed, then release its stock.

        Does nothing if the order was decided, or the attempt given up, meanwhile.
        """
        if await self.orders.note(checkout.given_up()):
            await self.stock.release(checkout.reservation_id)


@dataclass(frozen=True, slots=True)
class BackgroundAftermath:
    """Settles after the answer. What finds no place, or fails, the reconciler does later."""

    settlement: Settlement
    tasks: BackgroundTasks

    def settle(self, checkout: Checkout) -> None:
        """Let the stock follow the decided order."""
        self.tasks.start("settle", self.settlement.settle(checkout))

    def give_up(self, checkout: Checkout) -> None:
        """End an attempt whose outcome is open, so that nothing stays reserved."""
        self.tasks.start("give up", self.settlement.give_up(checkout))
