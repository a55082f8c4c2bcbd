"""What the Order service does, one recipe per RPC."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from services.common.auth.principal import Principal
from services.common.clock import utc_now
from services.common.errors import InvalidArgument
from services.common.ids import new_id
from services.common.money import Money
from services.common.paging import Page, page_size
from services.common.snapshot import Snapshot
from services.common.validation import check_identifier
from services.order.model import (
    AttemptGivenUpError,
    Checkout,
    CheckoutInterrupted,
    Order,
    OrderItem,
    OrderLine,
    OrderNotFound,
    OrderStatus,
    RejectedError,
    check_items,
)
from services.order.ports import Aftermath, Customers, Orders, Stock

_MAX_ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class OrderUseCases:
    """Checkout, and what becomes of each order."""

    orders: Orders
    stock: Stock
    customers: Customers
    aftermath: Aftermath
    now: Callable[[], datetime] = utc_now

    async def create_order(
        self,
        principal: Principal,
        request_id: str,
        items: Sequence[OrderItem],
        expected_total: Money | None = None,
    ) -> Order:
        """Check out for the calling user; once per request id, however often it is asked for."""
        check_items(items, request_id, expected_total)
        begun = Checkout.begin(
            new_id(), principal.subject, request_id, items, self.now(), expected_total
        )
        checkout = await self.orders.open(begun)
        checkout.confirm_same(begun)
        for _ in range(_MAX_ROUNDS):
            if not checkout.pending:
                return checkout.order
            decided = await self._decide(checkout)
            if decided is not None and await self.orders.save(decided):
                self.aftermath.settle(decided)
                return decided.order
            checkout = await self.orders.get(checkout.order.order_id)
        raise _interrupted(checkout)

    async def get_order(self, principal: Principal, order_id: str) -> Order:
        """Return one order, if the caller may see it."""
        return (await self._visible(principal, order_id)).order

    async def list_user_orders(self, user_id: str, size: int, token: str) -> Snapshot[Page[Order]]:
        """Return a page of one user's orders, newest first."""
        check_identifier("user_id", user_id)
        return await self.orders.page_of_user(user_id, page_size(size), token)

    async def cancel_order(self, principal: Principal, order_id: str) -> Order:
        """Cancel an order and give its stock back, once."""
        for _ in range(_MAX_ROUNDS):
            checkout = await self._visible(principal, order_id)
            if checkout.order.status is OrderStatus.CANCELLED:
                return checkout.order
            cancelled = checkout.cancelled(self.now())
            if await self.orders.save(cancelled):
                self.aftermath.settle(cancelled)
                return cancelled.order
        raise _interrupted(checkout)

    async def update_order_status(
        self, principal: Principal, order_id: str, status: OrderStatus | None
    ) -> Order:
        """Move an order on along an allowed edge."""
        if status is None:
            raise InvalidArgument.of("status", "must be SHIPPED, DELIVERED or CANCELLED")
        if status is OrderStatus.CANCELLED:
            return await self.cancel_order(principal, order_id)
        for _ in range(_MAX_ROUNDS):
            checkout = await self._visible(principal, order_id)
            advanced = checkout.advanced(status, self.now())
            if await self.orders.save(advanced):
                if not advanced.settled:
                    self.aftermath.settle(advanced)
                return advanced.order
        raise _interrupted(checkout)

    async def _decide(self, checkout: Checkout) -> Checkout | None:
        """Return the checkout confirmed or rejected; None if its attempt was given up."""
        reserve = self._reserve if checkout.attempt == 1 else self._reserve_again
        try:
            lines = await reserve(checkout)
            return checkout.confirmed(lines, self.now())
        except RejectedError as why:
            return checkout.rejected(why, self.now())
        except AttemptGivenUpError:
            await self.orders.note(checkout.given_up())  # unless whoever gave it up has done so
            return None

    async def _reserve(self, checkout: Checkout) -> Sequence[OrderLine]:
        """Reserve the stock while asking after the customer; a refusal by either counts first."""
        with self._attempt(checkout):
            lines, customer = await asyncio.gather(
                self.stock.reserve(checkout.reservation_id, checkout.items),
                self.customers.confirm_active(checkout.order.user_id),
                return_exceptions=True,
            )
            failures = [known for known in (lines, customer) if isinstance(known, BaseException)]
            if failures:
                raise min(failures, key=lambda failure: not isinstance(failure, RejectedError))
            return cast("Sequence[OrderLine]", lines)

    async def _reserve_again(self, checkout: Checkout) -> Sequence[OrderLine]:
        """Reserve the stock for a further attempt, once nothing else stands in its way.

        Attempts are bounded: while a peer is away none is begun, and the order stays open for as
        long as its call is repeated. The attempt before gives back first what it may still hold,
        else the order could be refused for want of its own pieces.
        """
        checkout.ensure_attempts_left()
        await self.orders.touch(checkout)
        await self.customers.confirm_active(checkout.order.user_id)
        for reservation_id in checkout.unreleased_reservation_ids:
            await self.stock.release(reservation_id)
        with self._attempt(checkout):
            return await self.stock.reserve(checkout.reservation_id, checkout.items)

    @contextmanager
    def _attempt(self, checkout: Checkout) -> Iterator[None]:
        """Give the attempt up, in the background, if its outcome stays open.

        That is so when a peer does not answer, and when the caller goes away.
        """
        try:
            yield
        except (RejectedError, AttemptGivenUpError):
            raise
        except BaseException:
            self.aftermath.give_up(checkout)
            raise

    async def _visible(self, principal: Principal, order_id: str) -> Checkout:
        """Return a checkout; for a caller who may not see it, it does not exist."""
        check_identifier("order_id", order_id)
        checkout = await self.orders.get(order_id)
        if not principal.may_act_for(checkout.order.user_id):
            raise OrderNotFound(order_id)
        return checkout


def _interrupted(checkout: Checkout) -> CheckoutInterrupted:
    return CheckoutInterrupted(
        "the order kept changing meanwhile; repeat the call",
        {"order_id": checkout.order.order_id},
    )
