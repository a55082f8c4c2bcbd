"""The orders, with each user's newest read through the cache ``user_orders:<userID>``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.common.cache.lookup import Lookup, ReadThroughCache
from services.common.money import Money
from services.common.paging import DEFAULT_PAGE_SIZE, Page
from services.order.model import Checkout, Order, OrderLine, OrderStatus, first_orders
from services.order.ports import Orders


@dataclass(frozen=True, slots=True)
class NewestOrders:
    """A user's newest orders, at most a page of the default size; ``more`` if others follow."""

    user_id: str
    orders: tuple[Order, ...]
    more: bool


def _decode(fields: Mapping[str, Any]) -> NewestOrders:
    return NewestOrders(
        user_id=fields["user_id"],
        orders=tuple(_decode_order(order) for order in fields["orders"]),
        more=fields["more"],
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


NEWEST_ORDERS: Final[Lookup[NewestOrders]] = Lookup(
    prefix="user_orders",
    encode=lambda newest: newest,  # orjson writes a dataclass as an object of its fields
    decode=_decode,
    identify=lambda newest: newest.user_id,
)


@dataclass(frozen=True, slots=True)
class CachedOrders:
    """``Orders`` whose newest, per user, are cached."""

    orders: Orders
    cache: ReadThroughCache[NewestOrders]

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

    async def page_of_user(self, user_id: str, size: int, token: str) -> Page[Order]:
        """Return a page of a user's orders, the first of up to the default size from the cache."""
        if token or size > DEFAULT_PAGE_SIZE:
            return await self.orders.page_of_user(user_id, size, token)
        newest = await self.cache.get(user_id, self._load)
        return first_orders(user_id, newest.orders, size, more=newest.more)

    async def unsettled(self, before: datetime, limit: int) -> Sequence[Checkout]:
        """Return old checkouts not settled, from the store of record."""
        return await self.orders.unsettled(before, limit)

    async def _load(self, user_id: str) -> NewestOrders:
        page = await self.orders.page_of_user(user_id, DEFAULT_PAGE_SIZE, "")
        return NewestOrders(user_id, page.items, more=bool(page.next_page_token))
