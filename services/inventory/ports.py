"""What the use cases need from outside."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.common.paging import Page
from services.common.snapshot import Snapshot
from services.inventory.model import (
    Product,
    ProductDraft,
    ProductFilter,
    Reservation,
    ReservationItem,
)


class Products(Protocol):
    """The catalogue."""

    async def get(self, product_id: str) -> Snapshot[Product]:
        """Return a product. Raises ``ProductNotFound``."""
        ...

    async def get_many(self, product_ids: Collection[str]) -> Mapping[str, Snapshot[Product]]:
        """Return those of the products that exist."""
        ...

    async def page(self, wanted: ProductFilter, size: int, token: str) -> Page[Product]:
        """Return a page of the catalogue, oldest product first."""
        ...

    async def add(self, draft: ProductDraft) -> Product:
        """Store a new product and return it. Raises ``SkuTaken``."""
        ...

    async def update(
        self, product_id: str, draft: ProductDraft, fields: Collection[str], version: int
    ) -> Product:
        """Set the named fields to the draft's values and return the product.

        A version other than 0 must be the present one. Raises ``ProductNotFound``,
        ``ProductChanged`` and ``SkuTaken``.
        """
        ...

    async def remove(self, product_id: str) -> None:
        """Remove a product. Raises ``ProductNotFound`` and ``ProductReserved``."""
        ...


class Reservations(Protocol):
    """Stock that is held back, sold or given back, each step once however often it is asked for."""

    async def reserve(self, reservation_id: str, items: Sequence[ReservationItem]) -> Reservation:
        """Hold all items back, or none.

        Raises ``ProductNotFound``, ``InsufficientStock``, ``ReservationReleased`` and
        ``ReservationIdReused``.
        """
        ...

    async def commit(self, reservation_id: str) -> None:
        """Turn held stock into sold stock.

        Raises ``ReservationNotFound`` and ``ReservationReleased``.
        """
        ...

    async def release(self, reservation_id: str) -> Reservation:
        """Make held or sold stock available again and return what was given back, now or before.

        An unknown name is taken out of use: nothing can be reserved under it any more.
        """
        ...

    async def page_held(self, before: datetime, size: int, token: str) -> Page[Reservation]:
        """Return a page of the reservations held since before a moment, oldest first."""
        ...
