"""The orders, with each user's newest read through the cache ``user_orders:<userID>``."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.common.cache.lookup import Lookup, are_counts, are_in_utc
from services.common.cache.read_through import ReadThroughCache
from services.common.call import current_call
from services.common.freshness import Source
from services.common.paging import DEFAULT_PAGE_SIZE, Page
from services.common.snapshot import Snapshot
from services.order.model import Checkout, Order, OrderLine, Unsettled, shortened
from services.order.ports import Orders


def _valid(user_id: str, page: Page[Order]) -> bool:
    return len(page.items) <= DEFAULT_PAGE_SIZE and all(
        order.user_id == user_id
        and are_in_utc(order.create_time, order.update_time)
        and are_counts(0 if order.total is None else order.total.minor_units, *_counts(order.lines))
        for order in page.items
    )


def _counts(lines: Sequence[OrderLine]) -> Iterator[int]:
    for line in lines:
        yield line.quantity
        if line.unit_price is not None:
            yield line.unit_price.minor_units
            yield line.unit_price.minor_units * line.quantity  # what a line shows as its total


NEWEST_ORDERS: Final = Lookup("user_orders", Page[Order], _valid)


@dataclass(frozen=True, slots=True)
class CachedOrders:
    """``Orders`` whose newest, per user, are cached."""

    orders: Orders
    cache: ReadThroughCache[Page[Order]]

    async def open(self, checkout: Checkout) -> Checkout:
        """Store a new checkout and forget the user's cached orders."""
        async with self.cache.forgetting([checkout.order.user_id]):
            return await self.orders.open(checkout)

    async def get(self, order_id: str) -> Checkout:
        """Return a checkout, from the store of record."""
        return await self.orders.get(order_id)

    async def save(self, changed: Checkout) -> bool:
        """Store the next version of a checkout and forget the user's cached orders."""
        async with self.cache.forgetting([changed.order.user_id]):
            return await self.orders.save(changed)

    async def note(self, progress: Checkout) -> bool:
        """Store the next version of a checkout; the cached orders stay true."""
        return await self.orders.note(progress)

    async def touch(self, checkout: Checkout, ahead_s: float = 0.0) -> None:
        """Let a checkout count as touched; the cached orders stay true."""
        await self.orders.touch(checkout, ahead_s)

    async def page_of_user(self, user_id: str, size: int, token: str) -> Snapshot[Page[Order]]:
        """Return a page of a user's orders, the first of up to the default size from the cache."""
        if token or size > DEFAULT_PAGE_SIZE:
            current_call().answered_from(Source.BYPASS)
            return await self.orders.page_of_user(user_id, size, token)
        newest = (await self.cache.get_many([user_id]))[user_id]
        if size == DEFAULT_PAGE_SIZE:
            return newest
        return Snapshot(shortened(user_id, newest.value, size))

    async def newest_of_users(
        self, user_ids: Collection[str]
    ) -> Mapping[str, Snapshot[Page[Order]]]:
        """Return the first page, of the default size, of each user's orders."""
        return await self.cache.get_many(user_ids)

    async def unsettled(self, min_age_s: float, limit: int) -> Unsettled:
        """Return old checkouts not settled, from the store of record."""
        return await self.orders.unsettled(min_age_s, limit)
