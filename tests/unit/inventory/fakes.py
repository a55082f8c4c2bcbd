"""The ports of Inventory, in memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from services.common.ids import new_id
from services.common.money import Money
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
    ReservationState,
    ReservedLine,
)

THEN = datetime(2026, 5, 1, tzinfo=UTC)
LAMP = ProductDraft(
    sku="LAMP-1",
    name="Lamp",
    description="It shines.",
    category="lighting",
    price=Money("EUR", 1999),
    stock=5,
    tags=("light", "desk"),
)


def product(draft: ProductDraft = LAMP, product_id: str = "a" * 24) -> Product:
    return Product(
        product_id=product_id,
        sku=draft.sku,
        name=draft.name,
        description=draft.description,
        category=draft.category,
        price=draft.price,
        stock=draft.stock,
        tags=draft.tags,
        version=1,
        create_time=THEN,
        update_time=THEN,
    )


@dataclass
class FakeProducts:
    """The catalogue, and with what size its pages were asked for."""

    known: dict[str, Product] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)

    async def get(self, product_id: str) -> Snapshot[Product]:
        if product_id not in self.known:
            raise ProductNotFound(product_id)
        return Snapshot(self.known[product_id])

    async def get_many(self, product_ids: Collection[str]) -> Mapping[str, Snapshot[Product]]:
        assert len(set(product_ids)) == len(product_ids)
        return {
            product_id: Snapshot(self.known[product_id])
            for product_id in product_ids
            if product_id in self.known
        }

    async def page(self, wanted: ProductFilter, size: int, token: str) -> Page[Product]:
        self.sizes.append(size)
        matching = [p for p in self.known.values() if wanted.category in {"", p.category}]
        return Page(tuple(matching[:size]), "")

    async def add(self, draft: ProductDraft, request_id: str = "") -> Product:
        added = product(draft, new_id())
        self.known[added.product_id] = added
        return added

    async def update(
        self, product_id: str, draft: ProductDraft, fields: Collection[str], version: int
    ) -> Product:
        changed = (await self.get(product_id)).value
        for name in fields:
            changed = replace(changed, **{name: getattr(draft, name)})
        self.known[product_id] = replace(changed, version=changed.version + 1)
        return self.known[product_id]

    async def adjust(self, adjustment: Adjustment) -> Product:
        changed = (await self.get(adjustment.product_id)).value
        self.known[adjustment.product_id] = replace(changed, stock=changed.stock + adjustment.delta)
        return self.known[adjustment.product_id]

    async def remove(self, product_id: str) -> None:
        await self.get(product_id)
        del self.known[product_id]


@dataclass
class FakeReservations:
    """Reservations of as much as anybody asks for, and what was asked."""

    calls: list[tuple[str, str, str]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    filters: list[HeldFilter] = field(default_factory=list)

    async def reserve(
        self, owner: str, reservation_id: str, items: Sequence[ReservationItem]
    ) -> Reservation:
        self.calls.append(("reserve", owner, reservation_id))
        lines = tuple(
            ReservedLine(item.product_id, LAMP.name, item.quantity, LAMP.price) for item in items
        )
        return Reservation(reservation_id, owner, ReservationState.HELD, lines, THEN)

    async def commit(self, owner: str, reservation_id: str, *, irrevocable: bool = False) -> None:
        self.calls.append(("commit", owner, reservation_id))

    async def release(self, owner: str, reservation_id: str) -> Reservation:
        self.calls.append(("release", owner, reservation_id))
        return Reservation(reservation_id, owner, ReservationState.RELEASED, (), THEN)

    async def page_held(self, wanted: HeldFilter, size: int, token: str) -> Page[Reservation]:
        self.sizes.append(size)
        self.filters.append(wanted)
        return Page((), "")
