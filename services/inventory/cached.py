"""The catalogue and the reservations, with products read through the cache ``product:<id>``."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.common.cache.lookup import Lookup, are_counts, are_in_utc
from services.common.cache.read_through import ReadThroughCache
from services.common.paging import Page
from services.common.snapshot import Snapshot
from services.inventory.model import (
    Adjustment,
    HeldFilter,
    Product,
    ProductDraft,
    ProductFilter,
    ProductNotFound,
    Reservation,
    ReservationItem,
)
from services.inventory.ports import Products, Reservations


def _valid(product_id: str, product: Product) -> bool:
    return (
        product.product_id == product_id
        and are_counts(product.price.minor_units, product.stock, product.version)
        and are_in_utc(product.create_time, product.update_time)
    )


PRODUCT: Final = Lookup("product", Product, _valid)


@dataclass(frozen=True, slots=True)
class CachedProducts:
    """``Products`` whose lookups by id are cached."""

    products: Products
    cache: ReadThroughCache[Product]

    async def get(self, product_id: str) -> Snapshot[Product]:
        """Return a product. Raises ``ProductNotFound``."""
        product = await self.cache.get(product_id)
        if product is None:
            raise ProductNotFound(product_id)
        return product

    async def get_many(self, product_ids: Collection[str]) -> Mapping[str, Snapshot[Product]]:
        """Return those of the products that exist."""
        return await self.cache.get_many(product_ids)

    async def page(self, wanted: ProductFilter, size: int, token: str) -> Page[Product]:
        """Return a page of the catalogue, from the store of record."""
        return await self.products.page(wanted, size, token)

    async def add(self, draft: ProductDraft, request_id: str = "") -> Product:
        """Store a new product, forget that there was none, and return it."""
        product = await self.products.add(draft, request_id)
        await self.cache.invalidate([product.product_id])
        return product

    async def update(
        self, product_id: str, draft: ProductDraft, fields: Collection[str], version: int
    ) -> Product:
        """Change a product and forget the cached one."""
        async with self.cache.forgetting([product_id]):
            return await self.products.update(product_id, draft, fields, version)

    async def adjust(self, adjustment: Adjustment) -> Product:
        """Move a product's stock and forget the cached product."""
        async with self.cache.forgetting([adjustment.product_id]):
            return await self.products.adjust(adjustment)

    async def remove(self, product_id: str) -> None:
        """Remove a product and forget the cached one."""
        async with self.cache.forgetting([product_id]):
            await self.products.remove(product_id)


@dataclass(frozen=True, slots=True)
class CachedReservations:
    """``Reservations`` that make the cache forget the products whose stock they move."""

    reservations: Reservations
    cache: ReadThroughCache[Product]

    async def reserve(
        self, owner: str, reservation_id: str, items: Sequence[ReservationItem]
    ) -> Reservation:
        """Hold stock back."""
        async with self.cache.forgetting([item.product_id for item in items]):
            return await self.reservations.reserve(owner, reservation_id, items)

    async def commit(self, owner: str, reservation_id: str, *, irrevocable: bool = False) -> None:
        """Sell held stock, which changes nothing that a product shows."""
        await self.reservations.commit(owner, reservation_id, irrevocable=irrevocable)

    async def release(self, owner: str, reservation_id: str) -> Reservation:
        """Give stock back."""
        reservation = await self.reservations.release(owner, reservation_id)
        await self.cache.invalidate([line.product_id for line in reservation.lines])
        return reservation

    async def page_held(self, wanted: HeldFilter, size: int, token: str) -> Page[Reservation]:
        """Return a page of the reservations whose fate is still open."""
        return await self.reservations.page_held(wanted, size, token)
