"""Finishing or undoing what a crash left half-done."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
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
_MAX_BACKOFF_S: Final = 600.0
_MAX_DOUBLINGS: Final = 10

log = structlog.get_logger()


@dataclass(slots=True)
class Reconciler:
    """Looks for checkouts and reservations that nobody has touched for ``age_s`` seconds.

    It may run in any number of processes at once. A checkout that it can do nothing with moves
    back, further each time, and of the reservations each run takes the next page: none keeps the
    others waiting.
    """

    orders: Orders
    stock: Stock
    settlement: Settlement
    age_s: float
    now: Callable[[], datetime] = utc_now
    figures: ReconcilerFigures = field(default_factory=ReconcilerFigures)
    next_held: str = ""

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
        found = await self.orders.unsettled(self.age_s, _BATCH)
        self.figures.saw(found)
        unanswered = await self._finish_all(found.checkouts)
        await self._review_held()
        if unanswered is not None:
            raise unanswered

    async def _finish_all(self, checkouts: Iterable[Checkout]) -> Exception | None:
        """Finish checkouts until a peer does not answer, and return that error."""
        for checkout in checkouts:
            try:
                await self._finish(checkout)
            except Exception as error:  # noqa: BLE001 (whatever it is, the rest must go on)
                self._failed(checkout.order.order_id, error)
                doubled = 2 ** min(checkout.failures, _MAX_DOUBLINGS)
                await self.orders.touch(
                    checkout.failed(), min(self.age_s * doubled, _MAX_BACKOFF_S)
                )
                if isinstance(error, Unavailable | DeadlineExceeded):
                    return error
        return None

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

    async def _review_held(self) -> None:
        """Review the next page of held reservations; after the last one begin again."""
        token, self.next_held = self.next_held, ""
        page = await self.stock.held(self.age_s, token)
        self.next_held = page.next_page_token
        for reservation_id in page.items:
            try:
                await self._review(reservation_id)
            except Exception as error:  # noqa: BLE001 (as above)
                self._failed(reservation_id, error)

    async def _review(self, reservation_id: str) -> None:
        """Release a held reservation unless the order it was made for is sold.

        An order that is kept PENDING by repeated calls loses it too: nothing is held for ever.
        """
        try:
            checkout = await self.orders.get(order_id_of(reservation_id))
        except OrderNotFound:
            pass
        else:
            if checkout.reservation_id == reservation_id:
                if checkout.pending:
                    await self.settlement.give_up(checkout)
                if checkout.pending or checkout.sold:
                    return
        await self.stock.release(reservation_id)
        self.figures.released += 1
        log.warning("released orphaned stock", reservation_id=reservation_id)

    def _failed(self, name: str, error: Exception) -> None:
        self.figures.stuck += 1
        log.warning("cannot be reconciled", name=name, error=repr(error))
