from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from services.common.errors import InvalidArgument
from services.inventory.model import ProductFilter, ProductNotFound, ReservationItem
from services.inventory.usecases import InventoryUseCases
from tests.unit.inventory.fakes import LAMP, THEN, FakeProducts, FakeReservations, product

A, B, C = "a" * 24, "b" * 24, "c" * 24


@pytest.fixture
def products() -> FakeProducts:
    return FakeProducts({A: product(), B: product(replace(LAMP, category="desks"), B)})


@pytest.fixture
def reservations() -> FakeReservations:
    return FakeReservations()


@pytest.fixture
def inventory(products: FakeProducts, reservations: FakeReservations) -> InventoryUseCases:
    return InventoryUseCases(products, reservations)


def fields_of(error: InvalidArgument) -> list[str]:
    return [violation.field for violation in error.violations]


async def test_a_created_product_can_be_got(inventory: InventoryUseCases) -> None:
    created = await inventory.create_product(LAMP)
    assert (await inventory.get_product(created.product_id)).value == created


async def test_a_product_that_breaks_a_rule_is_not_created(
    inventory: InventoryUseCases, products: FakeProducts
) -> None:
    with pytest.raises(InvalidArgument):
        await inventory.create_product(replace(LAMP, stock=-1))
    assert set(products.known) == {A, B}


async def test_a_product_that_nobody_has_is_not_found(inventory: InventoryUseCases) -> None:
    with pytest.raises(ProductNotFound):
        await inventory.get_product(C)


async def test_a_batch_is_answered_in_its_order_each_product_once(
    inventory: InventoryUseCases,
) -> None:
    found, missing = await inventory.batch_get_products([B, C, A, B, "d" * 24, C])
    assert [p.value.product_id for p in found] == [B, A]
    assert missing == [C, "d" * 24]


async def test_a_bad_id_in_a_batch_is_named_by_its_place(inventory: InventoryUseCases) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await inventory.batch_get_products([A, "x", B, ""])
    assert fields_of(refused.value) == ["product_ids[1]", "product_ids[3]"]


@pytest.mark.parametrize("count", [0, 101])
async def test_a_batch_has_1_to_100_ids(inventory: InventoryUseCases, count: int) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await inventory.batch_get_products([A] * count)
    assert fields_of(refused.value) == ["product_ids"]


@pytest.mark.parametrize(("asked", "given"), [(0, 20), (7, 7), (1000, 100)])
async def test_lists_have_bounded_pages(
    inventory: InventoryUseCases,
    products: FakeProducts,
    reservations: FakeReservations,
    asked: int,
    given: int,
) -> None:
    await inventory.list_products(ProductFilter(), asked, "")
    await inventory.list_held_reservations(THEN, asked, "")
    assert products.sizes == reservations.sizes == [given]


async def test_a_list_can_be_narrowed_to_a_category(inventory: InventoryUseCases) -> None:
    page = await inventory.list_products(ProductFilter(category="desks"), 0, "")
    assert [p.product_id for p in page.items] == [B]


async def test_an_update_checks_and_changes_the_named_fields_alone(
    inventory: InventoryUseCases,
) -> None:
    draft = replace(LAMP, name="Torch", sku="")
    changed = await inventory.update_product(A, draft, ["name"], 0)
    assert (changed.name, changed.sku) == ("Torch", LAMP.sku)
    with pytest.raises(InvalidArgument) as refused:
        await inventory.update_product(A, draft, ["name", "sku"], 0)
    assert fields_of(refused.value) == ["product.sku"]


async def test_a_deleted_product_is_gone(inventory: InventoryUseCases) -> None:
    await inventory.delete_product(A)
    with pytest.raises(ProductNotFound):
        await inventory.get_product(A)


async def test_a_reservation_answers_with_priced_lines(inventory: InventoryUseCases) -> None:
    (line,) = await inventory.reserve_stock("order-1", [ReservationItem(A, 2)])
    assert (line.quantity, line.unit_price) == (2, LAMP.price)


async def test_reservations_are_committed_and_released_by_name(
    inventory: InventoryUseCases, reservations: FakeReservations
) -> None:
    await inventory.commit_reservation("order-1")
    await inventory.release_reservation("order-1")
    assert reservations.calls == [("commit", "order-1"), ("release", "order-1")]


BAD_REQUESTS: list[tuple[str, Callable[[InventoryUseCases], Awaitable[object]]]] = [
    ("product_id", lambda inventory: inventory.get_product("x")),
    ("product_id", lambda inventory: inventory.delete_product("x")),
    ("product.product_id", lambda inventory: inventory.update_product("", LAMP, ["name"], 0)),
    ("reservation_id", lambda inventory: inventory.reserve_stock("", [ReservationItem(A, 1)])),
    ("reservation_id", lambda inventory: inventory.commit_reservation("a b")),
    ("reservation_id", lambda inventory: inventory.release_reservation("x" * 65)),
    ("items", lambda inventory: inventory.reserve_stock("order-1", [])),
    ("page_size", lambda inventory: inventory.list_products(ProductFilter(), -1, "")),
    ("page_size", lambda inventory: inventory.list_held_reservations(THEN, -1, "")),
    ("query", lambda inventory: inventory.list_products(ProductFilter(query="x" * 201), 0, "")),
]


@pytest.mark.parametrize(("field", "call"), BAD_REQUESTS)
async def test_a_bad_request_is_refused_by_the_name_of_its_field(
    inventory: InventoryUseCases,
    reservations: FakeReservations,
    field: str,
    call: Callable[[InventoryUseCases], Awaitable[object]],
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await call(inventory)
    assert fields_of(refused.value) == [field]
    assert not reservations.calls
