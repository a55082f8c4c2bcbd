"""Finishing or undoing what a crash left half-done."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

import structlog

from services.common.clock import utc_now
from services.common.errors import DeadlineExceeded, Unavailable
from services.order.figures import ReconcilerFigures
from services.order.model import (
    Checkout,
    OrderNotFound,
    RejectedError,
    RejectReason,
    order_id_of,
)
from services.order.ports import Orders, Stock
from services.order.settlement import Settlement

_BATCH: Final = 100

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Looks for checkouts and reservations that nobody has touched for ``age_s`` seconds.

    It may run in any number of processes at once.
    """

    orders: Orders
    stock: Stock
    settlement: Settlement
    age_s: float
    now: Callable[[], datetime] = utc_now
    figures: ReconcilerFigures = field(default_factory=ReconcilerFigures)

    async def run(self) -> None:
        """Settle old checkouts, rejecting those still pending, then release orphaned stock."""
        began = monotonic()
        try:
            await self._run()
        except Exception:
            self.figures.failed += 1
            raise
        else:
            self.figures.done += 1
        finally:
            self.figures.seconds += monotonic() - began

    async def _run(self) -> None:
        now = self.now()
        before = now - timedelta(seconds=self.age_s)
        found = await self.orders.unsettled(before, _BATCH)
        self.figures.saw([checkout.order for checkout in found], now)
        for checkout in found:
            await self._done(checkout.order.order_id, self._finish(checkout))
        for reservation_id in await self.stock.held_since(before):
            await self._done(reservation_id, self._review(reservation_id))

    async def _finish(self, checkout: Checkout) -> None:
        undecided = checkout.pending
        if undecided:
            why = RejectedError(RejectReason.ABANDONED, "the checkout was not finished in time")
            checkout = checkout.rejected(why, self.now())
            if not await self.orders.save(checkout):
                return
            self.figures.undone += 1
        await self.settlement.settle(checkout)
        if not undecided:
            self.figures.finished += 1
        log.info("reconciled", order_id=checkout.order.order_id, status=checkout.order.status)

    async def _review(self, reservation_id: str) -> None:
        """Release a held reservation unless the order it was made for still needs it."""
        try:
            checkout = await self.orders.get(order_id_of(reservation_id))
        except OrderNotFound:
            needed = False
        else:
            needed = checkout.reservation_id == reservation_id and (
                checkout.pending or checkout.sold
            )
        if not needed:
            await self.stock.release(reservation_id)
            self.figures.released += 1
            log.warning("released orphaned stock", reservation_id=reservation_id)

    async def _done(self, name: str, work: Awaitable[None]) -> None:
        """Do one piece of work. One that can never be done is logged, and holds up no other."""
        try:
            await work
        except (Unavailable, DeadlineExceeded):
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, the rest must go on)
            self.figures.stuck += 1
            log.warning("cannot be reconciled", name=name, error=repr(error))
