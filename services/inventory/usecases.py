"""What the Inventory service does, one recipe per RPC."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.common.paging import Page, page_size
from services.common.snapshot import Snapshot
from services.common.validation import FieldChecks, check_identifier, check_name
from services.inventory.model import (
    MAX_BATCH,
    PRODUCT_FIELDS,
    Adjustment,
    HeldFilter,
    Product,
    ProductDraft,
    ProductFilter,
    Reservation,
    ReservationItem,
    ReservedLine,
    check_items,
)
from services.inventory.ports import Products, Reservations


@dataclass(frozen=True, slots=True)
class InventoryUseCases:
    """The catalogue and the stock, as a caller may use them."""

    products: Products
    reservations: Reservations

    async def create_product(self, draft: ProductDraft, request_id: str) -> Product:
        """Add a product, once per request id if there is one."""
        if request_id:
            check_name("request_id", request_id)
        draft.check(PRODUCT_FIELDS)
        return await self.products.add(draft, request_id)

    async def get_product(self, product_id: str) -> Snapshot[Product]:
        """Return one product."""
        check_identifier("product_id", product_id)
        return await self.products.get(product_id)

    async def batch_get_products(
        self, product_ids: Sequence[str]
    ) -> tuple[Sequence[Snapshot[Product]], Sequence[str]]:
        """Return the products that exist and the ids that do not, each in the order asked for."""
        checks = FieldChecks()
        entries = checks.entries("product_ids", product_ids, at_least=1, at_most=MAX_BATCH)
        for path, product_id in entries:
            checks.identifier(path, product_id)
        checks.finish()
        wanted = list(dict.fromkeys(product_ids))
        found = await self.products.get_many(wanted)
        missing = [product_id for product_id in wanted if product_id not in found]
        return [found[product_id] for product_id in wanted if product_id in found], missing

    async def list_products(self, wanted: ProductFilter, size: int, token: str) -> Page[Product]:
        """Return a page of the catalogue."""
        wanted.check()
        return await self.products.page(wanted, page_size(size), token)

    async def update_product(
        self, product_id: str, draft: ProductDraft, fields: Collection[str], version: int
    ) -> Product:
        """Change the named fields of a product."""
        check_identifier("product.product_id", product_id)
        draft.check(fields)
        return await self.products.update(product_id, draft, fields, version)

    async def adjust_stock(self, adjustment: Adjustment) -> Product:
        """Move the stock of a product by an amount, once per request id."""
        adjustment.check()
        return await self.products.adjust(adjustment)

    async def delete_product(self, product_id: str) -> None:
        """Remove a product."""
        check_identifier("product_id", product_id)
        await self.products.remove(product_id)

    async def reserve_stock(
        self, owner: str, reservation_id: str, items: Sequence[ReservationItem]
    ) -> Sequence[ReservedLine]:
        """Hold stock back, all items or none, and return the priced lines."""
        check_name("reservation_id", reservation_id)
        check_items(items)
        reservation = await self.reservations.reserve(owner, reservation_id, items)
        return reservation.lines

    async def commit_reservation(
        self, owner: str, reservation_id: str, *, irrevocable: bool = False
    ) -> None:
        """Sell what is held back."""
        check_name("reservation_id", reservation_id)
        await self.reservations.commit(owner, reservation_id, irrevocable=irrevocable)

    async def release_reservation(self, owner: str, reservation_id: str) -> None:
        """Give back what is held back or sold."""
        check_name("reservation_id", reservation_id)
        await self.reservations.release(owner, reservation_id)

    async def list_held_reservations(
        self, wanted: HeldFilter, size: int, token: str
    ) -> Page[Reservation]:
        """Return a page of one owner's reservations whose fate is still open."""
        return await self.reservations.page_held(wanted, page_size(size), token)
