"""The orders, with each user's newest read through the cache ``user_orders:<userID>``."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.common.cache.lookup import Lookup
from services.common.cache.read_through import ReadThroughCache
from services.common.call import current_call
from services.common.freshness import Source
from services.common.money import Money
from services.common.paging import DEFAULT_PAGE_SIZE, Page
from services.common.snapshot import Snapshot
from services.order.model import Checkout, Order, OrderLine, OrderStatus, Unsettled, shortened
from services.order.ports import Orders


def _decode(fields: Mapping[str, Any]) -> Page[Order]:
    return Page(
        items=tuple(_decode_order(order) for order in fields["items"]),
        next_page_token=fields["next_page_token"],
    )


def _decode_order(fields: Mapping[str, Any]) -> Order:
    return Order(
        order_id=fields["order_id"],
        user_id=fields["user_id"],
        status=OrderStatus(fields["status"]),
        lines=tuple(
            OrderLine(
                line["product_id"],
                line["quantity"],
                line["name"],
                _decode_money(line["unit_price"]),
            )
            for line in fields["lines"]
        ),
        total=_decode_money(fields["total"]),
        reject_reason=fields["reject_reason"],
        reject_message=fields["reject_message"],
        create_time=datetime.fromisoformat(fields["create_time"]),
        update_time=datetime.fromisoformat(fields["update_time"]),
    )


def _decode_money(fields: Mapping[str, Any] | None) -> Money | None:
    return None if fields is None else Money(fields["currency_code"], fields["minor_units"])


NEWEST_ORDERS: Final[Lookup[Page[Order]]] = Lookup(
    prefix="user_orders",
    encode=lambda page: page,  # orjson writes a dataclass as an object of its fields
    decode=_decode,
)


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
