from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from google.protobuf.duration_pb2 import Duration
from shop.inventory.v1 import inventory_pb2 as pb

from services.common.auth.principal import Principal, Role
from services.common.call import Call, enter_call
from services.common.errors import InvalidArgument
from services.common.money import Money
from services.common.rpc.messages import timestamp
from services.inventory.handler import InventoryHandler
from services.inventory.model import (
    PRODUCT_FIELDS,
    Adjustment,
    HeldFilter,
    ProductFilter,
    ProductNotFound,
    ReservationItem,
)
from services.inventory.usecases import InventoryUseCases
from tests.unit.inventory.fakes import LAMP, THEN, FakeProducts, FakeReservations, product

A, B, C = "a" * 24, "b" * 24, "c" * 24
HELD = HeldFilter("order", THEN)
ITEMS = [ReservationItem(A, 1)]
LEAST_TAKEN = 4 * 1024 * 1024
"""How large an answer every client takes by default, in bytes."""


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
    created = await inventory.create_product(LAMP, "")
    assert (await inventory.get_product(created.product_id)).value == created


async def test_a_product_that_breaks_a_rule_is_not_created(
    inventory: InventoryUseCases, products: FakeProducts
) -> None:
    with pytest.raises(InvalidArgument):
        await inventory.create_product(replace(LAMP, stock=-1), "")
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
    await inventory.list_held_reservations(HELD, asked, "")
    assert products.sizes == reservations.sizes == [given]


async def test_a_list_can_be_narrowed_to_a_category(inventory: InventoryUseCases) -> None:
    page = await inventory.list_products(ProductFilter(category="desks"), 0, "")
    assert [p.product_id for p in page.items] == [B]


async def test_the_largest_answers_are_of_a_size_that_every_client_takes(
    reservations: FakeReservations,
) -> None:
    clef = "\N{MUSICAL SYMBOL G CLEF}"  # four bytes
    largest = replace(
        LAMP,
        sku="x" * 64,
        name=clef * 200,
        description=clef * 4_000,
        category="x" * 64,
        price=Money("EUR", 10**12),
        stock=10**9,
        tags=(clef * 50,) * 20,
    )
    largest.check(PRODUCT_FIELDS)
    ids = [f"{number:024x}" for number in range(100)]
    known = {product_id: product(largest, product_id) for product_id in ids}
    handler = InventoryHandler(InventoryUseCases(FakeProducts(known), reservations))
    nothing: Any = None

    page = await handler.ListProducts(pb.ListProductsRequest(page_size=1_000), nothing)
    batch = await handler.BatchGetProducts(pb.BatchGetProductsRequest(product_ids=ids), nothing)

    assert len(page.products) == 100
    for size in (page.ByteSize(), len(cast("bytes", batch))):
        assert 100 * 4 * 4_000 < size < LEAST_TAKEN


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
    (line,) = await inventory.reserve_stock("order", "order-1", [ReservationItem(A, 2)])
    assert (line.quantity, line.unit_price) == (2, LAMP.price)


async def test_reservations_are_committed_and_released_by_name(
    inventory: InventoryUseCases, reservations: FakeReservations
) -> None:
    await inventory.commit_reservation("order", "order-1")
    await inventory.release_reservation("order", "order-1")
    assert reservations.calls == [("commit", "order", "order-1"), ("release", "order", "order-1")]


async def test_reservations_are_of_the_service_that_calls(
    inventory: InventoryUseCases, reservations: FakeReservations
) -> None:
    call, nothing = Call(), cast("Any", None)
    call.principal = Principal("order", Role.SERVICE)
    enter_call(call)
    handler = InventoryHandler(inventory)
    items = [pb.ReservationItem(product_id=A, quantity=1)]
    await handler.ReserveStock(pb.ReserveStockRequest(reservation_id="r", items=items), nothing)
    await handler.CommitReservation(pb.CommitReservationRequest(reservation_id="r"), nothing)
    await handler.ReleaseReservation(pb.ReleaseReservationRequest(reservation_id="r"), nothing)
    for asked in (
        pb.ListHeldReservationsRequest(),
        pb.ListHeldReservationsRequest(create_time_before=timestamp(THEN)),
        pb.ListHeldReservationsRequest(min_age=Duration(seconds=30)),
    ):
        await handler.ListHeldReservations(asked, nothing)
    assert {owner for _, owner, _ in reservations.calls} == {"order"}
    assert reservations.filters == [
        HeldFilter("order"),
        HeldFilter("order", before=THEN),
        HeldFilter("order", min_age=timedelta(seconds=30)),
    ]


BAD_REQUESTS: list[tuple[str, Callable[[InventoryUseCases], Awaitable[object]]]] = [
    ("product_id", lambda inventory: inventory.get_product("x")),
    ("product_id", lambda inventory: inventory.delete_product("x")),
    ("delta", lambda inventory: inventory.adjust_stock(Adjustment("r", A, 0))),
    ("request_id", lambda inventory: inventory.create_product(LAMP, "a b")),
    ("product.product_id", lambda inventory: inventory.update_product("", LAMP, ["name"], 0)),
    ("reservation_id", lambda inventory: inventory.reserve_stock("order", "", ITEMS)),
    ("reservation_id", lambda inventory: inventory.commit_reservation("order", "a b")),
    ("reservation_id", lambda inventory: inventory.release_reservation("order", "x" * 65)),
    ("items", lambda inventory: inventory.reserve_stock("order", "order-1", [])),
    ("page_size", lambda inventory: inventory.list_products(ProductFilter(), -1, "")),
    ("page_size", lambda inventory: inventory.list_held_reservations(HELD, -1, "")),
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
