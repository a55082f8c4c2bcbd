"""How much memory is taken by what is near."""

import gc
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest
from shop.inventory.v1 import inventory_pb2 as pb

from services.common.cache.lookup import Entry
from services.common.cache.near import Near, NearOptions
from services.common.snapshot import Snapshot
from services.inventory.cached import PRODUCT
from services.inventory.model import Product
from tests.unit.inventory.fakes import LAMP, product

LIMIT = 1024 * 1024


def rendered(shown: Product) -> bytes:
    message = pb.Product(
        product_id=shown.product_id,
        sku=shown.sku,
        name=shown.name,
        description=shown.description,
        category=shown.category,
        stock=shown.stock,
        tags=shown.tags,
        version=shown.version,
    )
    return message.SerializeToString()


def loaded(number: int, chars: int) -> Entry[Product]:
    """A product of its own, of about so many characters, just loaded and shown."""
    draft = replace(LAMP, sku=f"sku-{number}", description="x" * chars)
    product_id = f"{number:024x}"
    return shown(PRODUCT.entry(product_id, Snapshot(product(draft, product_id))))


def read(number: int, chars: int) -> Entry[Product]:
    """The same, read from Redis."""
    return shown(PRODUCT.read(f"{number:024x}", loaded(number, chars).raw))


def shown(entry: Entry[Product]) -> Entry[Product]:
    assert entry.snapshot is not None
    entry.snapshot.shown(rendered)
    return entry


def fill(near: Near[Product], make: Callable[[int, int], Entry[Product]], chars: int) -> None:
    """Bring products until there is no room."""
    number = 0
    while not near.evicted:
        with near.flight() as flight:
            near.bring(flight, {f"{number:024x}": make(number, chars)})
        number += 1


@pytest.mark.parametrize("make", [loaded, read])
@pytest.mark.parametrize("chars", [0, 300, 5_000])
def test_what_is_near_takes_no_more_memory_than_it_may_and_not_much_less(
    make: Callable[[int, int], Entry[Product]], chars: int
) -> None:
    near: Near[Product] = Near(NearOptions(entries=10**6, bytes=LIMIT, lease_s=1.0))
    near.closed = False
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        fill(near, make, chars)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert LIMIT / 4 < after - before <= LIMIT
    assert LIMIT - 50_000 < near.bytes <= LIMIT
