"""What the use cases need from outside."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from services.common.paging import Page
from services.common.snapshot import Snapshot
from services.inventory.model import (
    Adjustment,
    HeldFilter,
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

    async def add(self, draft: ProductDraft, request_id: str = "") -> Product:
        """Store a new product and return it, or the one that was made for the same request.

        Raises ``SkuTaken`` and ``ProductRequestIdReused``.
        """
        ...

    async def update(
        self, product_id: str, draft: ProductDraft, fields: Collection[str], version: int
    ) -> Product:
        """Set the named fields to the draft's values and return the product.

        A version other than 0 must be the present one. Raises ``ProductNotFound``,
        ``ProductChanged`` and ``SkuTaken``.
        """
        ...

    async def adjust(self, adjustment: Adjustment) -> Product:
        """Move a product's stock by an amount, once, and return the product.

        Raises ``ProductNotFound``, ``InsufficientStock``, ``StockLimitExceeded`` and
        ``ProductRequestIdReused``.
        """
        ...

    async def remove(self, product_id: str) -> None:
        """Remove a product. Raises ``ProductNotFound`` and ``ProductReserved``."""
        ...


class Reservations(Protocol):
    """Stock that is held back, sold or given back, each step once however often it is asked for.

    Every step is its owner's: for others it raises ``ReservationNotOwned``.
    """

    async def reserve(
        self, owner: str, reservation_id: str, items: Sequence[ReservationItem]
    ) -> Reservation:
        """Hold all items back, or none, and return the reservation with lines in their order.

        Raises ``ProductNotFound``, ``InsufficientStock``, ``ReservationReleased`` and
        ``ReservationIdReused``.
        """
        ...

    async def commit(self, owner: str, reservation_id: str, *, irrevocable: bool = False) -> None:
        """Turn held stock into sold stock; it is forgotten some days after it is ``irrevocable``.

        Raises ``ReservationNotFound`` and ``ReservationReleased``.
        """
        ...

    async def release(self, owner: str, reservation_id: str) -> Reservation:
        """Make held or sold stock available again and return what was given back, now or before.

        An unknown name is taken out of use: nothing can be reserved under it any more.
        """
        ...

    async def page_held(self, wanted: HeldFilter, size: int, token: str) -> Page[Reservation]:
        """Return a page of held reservations, oldest first."""
        ...
