from dataclasses import replace
from typing import Any

import pytest

from services.common.errors import InvalidArgument
from services.common.money import Money
from services.inventory.model import (
    PRODUCT_FIELDS,
    Adjustment,
    ProductFilter,
    Reservation,
    ReservationIdReused,
    ReservationItem,
    ReservationNotOwned,
    ReservationReleased,
    ReservationState,
    ReservedLine,
    check_items,
)
from tests.unit.inventory.fakes import LAMP, THEN

A, B = "a" * 24, "b" * 24


def fields_of(error: InvalidArgument) -> list[str]:
    return [violation.field for violation in error.violations]


def test_a_good_product_breaks_no_rule() -> None:
    LAMP.check(PRODUCT_FIELDS)


@pytest.mark.parametrize(
    ("changed", "violated"),
    [
        ({"sku": ""}, "product.sku"),
        ({"sku": "x" * 65}, "product.sku"),
        ({"sku": "two words"}, "product.sku"),
        ({"name": ""}, "product.name"),
        ({"name": "x" * 201}, "product.name"),
        ({"name": " \n"}, "product.name"),
        ({"name": "a\x00b"}, "product.name"),
        ({"description": "x" * 4_001}, "product.description"),
        ({"category": ""}, "product.category"),
        ({"category": "x" * 65}, "product.category"),
        ({"category": "Lighting"}, "product.category"),
        ({"price": Money("", 1)}, "product.price.currency_code"),
        ({"price": Money("eur", 1)}, "product.price.currency_code"),
        ({"price": Money("EURO", 1)}, "product.price.currency_code"),
        ({"price": Money("EUR", -1)}, "product.price.minor_units"),
        ({"price": Money("EUR", 10**12 + 1)}, "product.price.minor_units"),
        ({"stock": -1}, "product.stock"),
        ({"stock": 10**9 + 1}, "product.stock"),
        ({"tags": ("x",) * 21}, "product.tags"),
        ({"tags": ("fine", "")}, "product.tags[1]"),
        ({"tags": ("x" * 51,)}, "product.tags[0]"),
    ],
)
def test_a_field_that_breaks_its_rule_is_refused_by_name(
    changed: dict[str, Any], violated: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        replace(LAMP, **changed).check(PRODUCT_FIELDS)
    assert fields_of(refused.value) == [violated]


@pytest.mark.parametrize(
    "changed",
    [
        {"sku": "x" * 64},
        {"name": "x" * 200},
        {"description": ""},
        {"description": "x" * 4_000},
        {"category": "x" * 64},
        {"price": Money("EUR", 0)},
        {"price": Money("EUR", 10**12)},
        {"stock": 0},
        {"stock": 10**9},
        {"tags": ()},
        {"tags": ("x" * 50,) * 20},
    ],
)
def test_a_field_may_reach_its_bounds(changed: dict[str, Any]) -> None:
    replace(LAMP, **changed).check(PRODUCT_FIELDS)


def test_every_broken_rule_is_told_at_once() -> None:
    with pytest.raises(InvalidArgument) as refused:
        replace(LAMP, sku="", stock=-1, price=Money("", -1)).check(PRODUCT_FIELDS)
    assert fields_of(refused.value) == [
        "product.sku",
        "product.price.currency_code",
        "product.price.minor_units",
        "product.stock",
    ]


def test_only_the_fields_that_are_named_are_checked() -> None:
    replace(LAMP, sku="", stock=-1).check(["name", "price"])


@pytest.mark.parametrize(
    ("wanted", "violated"),
    [
        (ProductFilter(category="x" * 65), "category"),
        (ProductFilter(category=" "), "category"),
        (ProductFilter(query="x" * 201), "query"),
        (ProductFilter(query="a\x00"), "query"),
    ],
)
def test_a_filter_that_breaks_its_rule_is_refused_by_name(
    wanted: ProductFilter, violated: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        wanted.check()
    assert fields_of(refused.value) == [violated]


@pytest.mark.parametrize(
    "items",
    [
        [ReservationItem(A, 1)],
        [ReservationItem(A, 10_000), ReservationItem(B, 1)],
        [ReservationItem(f"{n:024x}", 1) for n in range(100)],
    ],
)
def test_a_reservation_may_reach_its_bounds(items: list[ReservationItem]) -> None:
    check_items(items)


@pytest.mark.parametrize(
    ("items", "violated"),
    [
        ([], ["items"]),
        ([ReservationItem(f"{n:024x}", 1) for n in range(101)], ["items"]),
        ([ReservationItem(A, 0)], ["items[0].quantity"]),
        ([ReservationItem(A, -1)], ["items[0].quantity"]),
        ([ReservationItem(A, 10_001)], ["items[0].quantity"]),
        ([ReservationItem(A, 1), ReservationItem("x", 1)], ["items[1].product_id"]),
        (
            [ReservationItem(A, 1), ReservationItem(B, 1), ReservationItem(A, 2)],
            ["items[2].product_id"],
        ),
        (
            [ReservationItem("", 0), ReservationItem("", 1)],
            [
                "items[0].product_id",
                "items[0].quantity",
                "items[1].product_id",
                "items[1].product_id",
            ],
        ),
    ],
    ids=["none", "101", "zero", "negative", "too many", "bad id", "twice", "all at once"],
)
def test_items_that_break_a_rule_are_refused_by_name(
    items: list[ReservationItem], violated: list[str]
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_items(items)
    assert fields_of(refused.value) == violated


def reservation(state: ReservationState) -> Reservation:
    lines = (ReservedLine(A, "Lamp", 2, LAMP.price), ReservedLine(B, "Desk", 1, LAMP.price))
    return Reservation("r", "order", state, lines, THEN)


SAME = [ReservationItem(A, 2), ReservationItem(B, 1)]


@pytest.mark.parametrize("state", [ReservationState.HELD, ReservationState.COMMITTED])
def test_a_reservation_answers_a_repeated_request_in_its_order(state: ReservationState) -> None:
    for items in (SAME, SAME[::-1]):
        lines = reservation(state).lines_of(items)
        assert [ReservationItem(line.product_id, line.quantity) for line in lines] == items


@pytest.mark.parametrize(
    "other",
    [
        [ReservationItem(A, 2)],
        [ReservationItem(A, 2), ReservationItem(B, 2)],
        [*SAME, ReservationItem("c" * 24, 1)],
    ],
    ids=["fewer", "other quantity", "more"],
)
def test_a_reservation_does_not_answer_for_other_items(other: list[ReservationItem]) -> None:
    with pytest.raises(ReservationIdReused):
        reservation(ReservationState.HELD).lines_of(other)


@pytest.mark.parametrize("items", [SAME, SAME[:1]])
def test_a_released_reservation_can_never_be_reserved_again(items: list[ReservationItem]) -> None:
    with pytest.raises(ReservationReleased):
        reservation(ReservationState.RELEASED).lines_of(items)


def test_a_reservation_is_used_by_its_owner_and_an_old_one_by_any_service() -> None:
    held = reservation(ReservationState.HELD)
    held.confirm_owned("order")
    replace(held, owner="").confirm_owned("other")
    with pytest.raises(ReservationNotOwned):
        held.confirm_owned("other")


@pytest.mark.parametrize("delta", [1, -1, 10**9, -(10**9)])
def test_an_adjustment_may_reach_its_bounds(delta: int) -> None:
    Adjustment("x" * 64, A, delta).check()


@pytest.mark.parametrize(
    ("adjustment", "violated"),
    [
        (Adjustment("r", "x", 1), "product_id"),
        (Adjustment("r", A, 0), "delta"),
        (Adjustment("r", A, 10**9 + 1), "delta"),
        (Adjustment("r", A, -(10**9) - 1), "delta"),
        (Adjustment("", A, 1), "request_id"),
        (Adjustment("a b", A, 1), "request_id"),
    ],
)
def test_an_adjustment_that_breaks_a_rule_is_refused_by_name(
    adjustment: Adjustment, violated: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        adjustment.check()
    assert fields_of(refused.value) == [violated]
