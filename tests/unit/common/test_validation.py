import re
from typing import Any, NoReturn

import pytest
from shop.inventory.v1 import inventory_pb2 as inv
from shop.order.v1 import order_pb2 as ord_

from services.common.errors import MAX_VIOLATIONS, FieldViolation, InvalidArgument
from services.common.ids import new_id
from services.common.validation import FieldChecks, check_identifier, check_name
from services.inventory.handler import InventoryHandler
from services.inventory.model import ProductDraft
from services.order.handler import OrderHandler


def complaints(checks: FieldChecks) -> list[FieldViolation]:
    try:
        checks.finish()
    except InvalidArgument as error:
        return list(error.violations)
    return []


def test_everything_wrong_is_told_at_once() -> None:
    checks = FieldChecks()
    checks.identifier("order_id", "")
    checks.number("quantity", 0, at_least=1, at_most=9)
    checks.require(holds=True, field="fine", description="is not fine")
    with pytest.raises(InvalidArgument) as refused:
        checks.finish()
    assert refused.value.violations == (
        FieldViolation("order_id", "must be 24 lower-case hexadecimal digits"),
        FieldViolation("quantity", "must be 1 to 9, is 0"),
    )
    assert "order_id: must be" in refused.value.message
    assert "quantity: must be" in refused.value.message


def test_nothing_is_raised_when_nothing_is_wrong() -> None:
    FieldChecks().finish()


def test_an_id_given_by_the_shop_is_an_identifier() -> None:
    check_identifier("product_id", new_id())


@pytest.mark.parametrize(
    "value", ["", "0" * 23, "0" * 25, "A" * 24, "g" * 24, "0" * 24 + "\n", "\u0660" * 24]
)
def test_what_is_not_24_lower_case_hexadecimal_digits_is_no_identifier(value: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_identifier("product_id", value)
    assert refused.value.violations[0].field == "product_id"


@pytest.mark.parametrize("value", ["a", "Z-9._", "x" * 64])
def test_letters_digits_dots_underscores_and_dashes_make_a_name(value: str) -> None:
    check_name("request_id", value)


@pytest.mark.parametrize("value", ["", "x" * 65, "a b", "a/b", "é", "a\n", "$where", "a\x00"])
def test_other_characters_and_lengths_make_no_name(value: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_name("request_id", value)
    assert refused.value.violations[0].field == "request_id"


@pytest.mark.parametrize(("value", "fine"), [(0, False), (1, True), (9, True), (10, False)])
def test_both_bounds_of_a_number_are_allowed(value: int, *, fine: bool) -> None:
    checks = FieldChecks()
    checks.number("n", value, at_least=1, at_most=9)
    assert (not complaints(checks)) is fine


@pytest.mark.parametrize(("count", "fine"), [(0, False), (1, True), (3, True), (4, False)])
def test_both_bounds_of_a_count_are_allowed(count: int, *, fine: bool) -> None:
    checks = FieldChecks()
    entries = list(checks.entries("items", "abcd"[:count], at_least=1, at_most=3))
    assert (not complaints(checks)) is fine
    assert entries == ([(f"items[{n}]", "abcd"[n]) for n in range(count)] if fine else [])


@pytest.mark.parametrize(
    ("length", "fine"), [(0, False), (1, False), (2, True), (5, True), (6, False)]
)
def test_both_bounds_of_a_length_are_allowed(length: int, *, fine: bool) -> None:
    checks = FieldChecks()
    checks.text("name", "x" * length, at_least=2, at_most=5)
    assert (not complaints(checks)) is fine


def test_a_text_that_may_be_empty_may_be_empty() -> None:
    checks = FieldChecks()
    checks.text("description", "", at_most=5)
    assert not complaints(checks)


@pytest.mark.parametrize("blank", [" ", "\t\n", "\u3000", "\u200b", "\u2060 \u200d"])
def test_a_text_is_not_all_blank(blank: str) -> None:
    checks = FieldChecks()
    checks.text("name", blank, at_least=1, at_most=9)
    assert complaints(checks) == [FieldViolation("name", "must not be blank")]


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\x85"])
def test_a_text_holds_no_control_characters(character: str) -> None:
    checks = FieldChecks()
    checks.text("name", f"a{character}b", at_most=9)
    assert complaints(checks) == [FieldViolation("name", "must not hold control characters")]


@pytest.mark.parametrize(
    "text",
    [
        "two\nlines\tand\r\na tab",
        "Zoë",
        "東京\u3000駅",
        "prix\u202f: 5\u00a0€",
        "\u0646\u0645\u06cc\u200c\u062f\u0627\u0646\u0645",
        "👩\u200d👧",
    ],
)
def test_a_text_may_be_in_any_script(text: str) -> None:
    checks = FieldChecks()
    checks.text("name", text, at_least=1, at_most=40)
    assert not complaints(checks)


def test_a_pattern_must_match_the_whole_value() -> None:
    checks = FieldChecks()
    checks.matches("code", "EURO", re.compile("[A-Z]{3}"), "must be three letters")
    assert complaints(checks) == [FieldViolation("code", "must be three letters")]


class Unread(str):
    """A text whose characters nobody is to look at."""

    __slots__ = ()

    def __iter__(self) -> NoReturn:
        raise AssertionError("its characters are looked at")


def test_a_text_that_is_too_long_is_not_looked_at() -> None:
    checks = FieldChecks()
    checks.text("name", Unread("\0" * 6), at_most=5)
    assert complaints(checks) == [FieldViolation("name", "must be 0 to 5 characters long")]


def test_a_refusal_names_a_bounded_number_of_violations() -> None:
    checks = FieldChecks()
    for number in range(1_000):
        checks.identifier(f"items[{number}]", "")
    with pytest.raises(InvalidArgument) as refused:
        checks.finish()
    assert len(refused.value.violations) == MAX_VIOLATIONS
    many = InvalidArgument([FieldViolation("update_mask", "is unknown")] * 1_000)
    assert len(many.violations) == MAX_VIOLATIONS
    assert many.message.count("update_mask") == MAX_VIOLATIONS


async def test_handlers_build_no_more_of_a_list_than_shows_that_it_is_too_long() -> None:
    built: list[int] = []

    class UseCases:
        async def create_order(self, _caller: Any, _name: str, items: Any, *_: Any) -> None:
            built.append(len(items))
            raise NotImplementedError

        reserve_stock = create_order

        async def create_product(self, draft: ProductDraft, _name: str) -> None:
            built.append(len(draft.tags))
            raise NotImplementedError

    usecases: Any = UseCases()
    orders, inventory = OrderHandler(usecases), InventoryHandler(usecases)
    nothing: Any = None
    order = ord_.CreateOrderRequest(items=[ord_.OrderItem()] * 1_000)
    reservation = inv.ReserveStockRequest(items=[inv.ReservationItem()] * 1_000)
    product = inv.CreateProductRequest(product=inv.Product(tags=[""] * 1_000))
    for call in (
        orders.CreateOrder(order, nothing),
        inventory.ReserveStock(reservation, nothing),
        inventory.CreateProduct(product, nothing),
    ):
        with pytest.raises(NotImplementedError):
            await call
    assert built == [101, 101, 21]
