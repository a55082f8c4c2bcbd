from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product as pairs

import pytest

from services.common.errors import InvalidArgument
from services.common.money import Money
from services.common.paging import DEFAULT_PAGE_SIZE, Page
from services.order.handler import _page
from services.order.model import (
    MAX_ATTEMPTS,
    MAX_PAGE_BYTES,
    Checkout,
    ForbiddenMove,
    Order,
    OrderItem,
    OrderLine,
    OrderStatus,
    RejectedError,
    RejectReason,
    RequestIdReused,
    check_items,
    first_orders,
    order_id_of,
    shortened,
)

THEN, LATER = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC)
ORDER_ID, USER_ID, A, B = "0" * 24, "1" * 24, "a" * 24, "b" * 24
ITEMS = [OrderItem(A, 2), OrderItem(B, 1)]
LINES = [OrderLine(A, 2, "Lamp", Money("EUR", 1999)), OrderLine(B, 1, "Desk", Money("EUR", 20000))]
ALLOWED = {
    (OrderStatus.PENDING, OrderStatus.CONFIRMED),
    (OrderStatus.PENDING, OrderStatus.REJECTED),
    (OrderStatus.PENDING, OrderStatus.CANCELLED),
    (OrderStatus.CONFIRMED, OrderStatus.CANCELLED),
    (OrderStatus.CONFIRMED, OrderStatus.SHIPPED),
    (OrderStatus.SHIPPED, OrderStatus.DELIVERED),
}


def begun(items: Sequence[OrderItem] = ITEMS, expected_total: Money | None = None) -> Checkout:
    return Checkout.begin(ORDER_ID, USER_ID, "r-1", items, THEN, expected_total)


def orders(count: int) -> list[Order]:
    return [order_in(OrderStatus.CONFIRMED, f"{n:024x}") for n in range(count)]


def order_in(status: OrderStatus, order_id: str = ORDER_ID) -> Order:
    return Order(order_id, USER_ID, status, tuple(LINES), None, "", "", THEN, THEN)


@pytest.mark.parametrize(("source", "target"), list(pairs(OrderStatus, OrderStatus)))
def test_an_order_moves_along_the_six_edges_and_no_other(
    source: OrderStatus, target: OrderStatus
) -> None:
    order = order_in(source)
    if (source, target) in ALLOWED:
        moved = order.moved(target, LATER)
        assert (moved.status, moved.create_time, moved.update_time) == (target, THEN, LATER)
    else:
        with pytest.raises(ForbiddenMove) as refused:
            order.moved(target, LATER)
        assert refused.value.metadata == {"order_id": ORDER_ID, "status": source.value}


def test_a_checkout_begins_pending_with_lines_that_have_no_price() -> None:
    checkout = begun()
    assert checkout.pending
    assert not checkout.sold
    assert not checkout.settled
    assert (checkout.attempt, checkout.version) == (1, 1)
    assert checkout.order.total is None
    assert [line.line_total for line in checkout.order.lines] == [None, None]
    assert checkout.items == ITEMS


def test_a_confirmed_order_has_the_sum_of_its_lines() -> None:
    confirmed = begun().confirmed(LINES, LATER)
    assert confirmed.order.status is OrderStatus.CONFIRMED
    assert confirmed.order.total == Money("EUR", 2 * 1999 + 20000)
    assert [line.line_total for line in confirmed.order.lines] == [
        Money("EUR", 3998),
        Money("EUR", 20000),
    ]
    assert confirmed.sold


def test_an_order_in_two_currencies_is_rejected() -> None:
    mixed = [LINES[0], OrderLine(B, 1, "Book", Money("USD", 500))]
    with pytest.raises(RejectedError, match="EUR, USD") as refused:
        begun().confirmed(mixed, LATER)
    assert refused.value.reason is RejectReason.MIXED_CURRENCIES


def test_a_rejected_order_says_why_and_sells_nothing() -> None:
    why = RejectedError(RejectReason.INSUFFICIENT_STOCK, "too few are left")
    rejected = begun().rejected(why, LATER)
    assert rejected.order.status is OrderStatus.REJECTED
    assert rejected.order.reject_reason == "INSUFFICIENT_STOCK"
    assert rejected.order.reject_message == "too few are left"
    assert not rejected.sold
    assert not rejected.pending


def test_every_change_is_the_next_version() -> None:
    checkout = begun()
    confirmed = checkout.confirmed(LINES, LATER)
    changed = [
        confirmed,
        checkout.rejected(RejectedError(RejectReason.ABANDONED, ""), LATER),
        checkout.cancelled(LATER),
        checkout.given_up(),
        checkout.followed(),
    ]
    assert {change.version for change in changed} == {2}
    assert confirmed.advanced(OrderStatus.SHIPPED, LATER).version == 3


def test_a_decision_is_to_be_followed_by_the_stock() -> None:
    settled = begun().confirmed(LINES, LATER).followed()
    assert settled.settled
    shipped = settled.advanced(OrderStatus.SHIPPED, LATER)
    assert not shipped.settled  # Inventory learns that the sale is irrevocable
    assert shipped.followed().advanced(OrderStatus.DELIVERED, LATER).settled
    assert not settled.cancelled(LATER).settled


def test_each_attempt_reserves_under_a_name_of_its_own() -> None:
    third = begun().given_up().given_up()
    assert third.pending
    assert third.reservation_id == f"{ORDER_ID}-3"
    assert third.unreleased_reservation_ids == [f"{ORDER_ID}-2"]
    assert begun().unreleased_reservation_ids == []
    assert order_id_of(third.reservation_id) == ORDER_ID


@pytest.mark.parametrize("status", OrderStatus)
def test_stock_is_the_customers_while_the_order_is_neither_open_nor_undone(
    status: OrderStatus,
) -> None:
    sold = {OrderStatus.CONFIRMED, OrderStatus.SHIPPED, OrderStatus.DELIVERED}
    assert Checkout(order_in(status), "r-1").sold is (status in sold)


def test_a_repeated_request_gets_the_order_of_the_same_items_alone() -> None:
    for same in (ITEMS, ITEMS[::-1]):
        begun().confirm_same(begun(same))
        begun().confirmed(LINES, LATER).confirm_same(begun(same))
    for other in (ITEMS[:1], [*ITEMS, OrderItem("c" * 24, 1)], [OrderItem(A, 1)]):
        with pytest.raises(RequestIdReused):
            begun().confirm_same(begun(other))


def test_a_repeated_request_expects_the_same_total() -> None:
    prices = [None, Money("EUR", 5), Money("EUR", 6), Money("USD", 5)]
    for known, repeated in pairs(prices, prices):
        if known == repeated:
            begun(ITEMS, known).confirm_same(begun(ITEMS, repeated))
        else:
            with pytest.raises(RequestIdReused):
                begun(ITEMS, known).confirm_same(begun(ITEMS, repeated))


def test_an_order_of_the_expected_total_is_confirmed_and_of_any_other_rejected() -> None:
    total = Money("EUR", 2 * 1999 + 20000)
    assert begun(ITEMS, total).confirmed(LINES, LATER).order.total == total
    for other in (replace(total, minor_units=0), replace(total, currency_code="USD")):
        with pytest.raises(RejectedError, match="23998 EUR") as refused:
            begun(ITEMS, other).confirmed(LINES, LATER)
        assert refused.value.reason is RejectReason.PRICE_CHANGED


def test_the_attempts_are_used_up_after_the_last() -> None:
    last = replace(begun(), attempt=MAX_ATTEMPTS)
    last.ensure_attempts_left()
    with pytest.raises(RejectedError) as refused:
        last.given_up().ensure_attempts_left()
    assert refused.value.reason is RejectReason.TOO_MANY_ATTEMPTS


def test_failures_are_those_of_one_version() -> None:
    failed = begun().failed().failed()
    assert (failed.failures, failed.version) == (2, 1)
    assert failed.cancelled(LATER).failures == 0
    assert failed.followed().failures == 0


@pytest.mark.parametrize(
    ("items", "request_id", "violated"),
    [
        (ITEMS, "", ["request_id"]),
        (ITEMS, "a b", ["request_id"]),
        ([], "r", ["items"]),
        ([OrderItem(f"{n:024x}", 1) for n in range(101)], "r", ["items"]),
        ([OrderItem(A, 0)], "r", ["items[0].quantity"]),
        ([OrderItem(A, -5)], "r", ["items[0].quantity"]),
        ([OrderItem(A, 10_001)], "r", ["items[0].quantity"]),
        ([OrderItem("x", 1)], "r", ["items[0].product_id"]),
        ([OrderItem(A, 1), OrderItem(A, 1)], "r", ["items[1].product_id"]),
        (
            [OrderItem("x", 0)],
            "",
            ["request_id", "items[0].product_id", "items[0].quantity"],
        ),
    ],
)
def test_a_request_that_breaks_rules_is_refused_naming_all_its_fields(
    items: list[OrderItem], request_id: str, violated: list[str]
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_items(items, request_id)
    assert [violation.field for violation in refused.value.violations] == violated


def test_a_request_may_reach_its_bounds() -> None:
    items = [OrderItem(f"{n:024x}", 10_000) for n in range(100)]
    check_items(items, "x" * 64, Money("EUR", 10**18))
    check_items(items, "x" * 64, Money("EUR", 0))


@pytest.mark.parametrize(
    ("expected", "violated"),
    [
        (Money("EUR", -1), ["minor_units"]),
        (Money("EUR", 10**18 + 1), ["minor_units"]),
        (Money("", 5), ["currency_code"]),
        (Money("eur", -5), ["currency_code", "minor_units"]),
    ],
)
def test_an_expected_total_that_no_order_can_have_is_refused(
    expected: Money, violated: list[str]
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_items(ITEMS, "r", expected)
    assert [violation.field for violation in refused.value.violations] == [
        f"expected_total.{field}" for field in violated
    ]


@pytest.mark.parametrize(
    ("known", "given", "next_page"),
    [(0, 0, False), (1, 1, False), (2, 2, False), (3, 2, True)],
)
def test_a_page_has_a_next_one_exactly_when_orders_follow(
    known: int, given: int, *, next_page: bool
) -> None:
    page = first_orders(USER_ID, orders(known), 2)
    assert len(page.items) == given
    assert bool(page.next_page_token) is next_page


def largest(count: int) -> list[Order]:
    """Orders that no others are larger than, whose names are of characters of four bytes."""
    lines = tuple(
        OrderLine(f"{n:024x}", 10_000, "\N{GRINNING FACE}" * 200, Money("EUR", 10**12))
        for n in range(100)
    )
    return [
        replace(order, lines=lines, total=Money("EUR", 10**18), reject_message="\u2026" * 256)
        for order in orders(count)
    ]


def test_twenty_orders_of_any_size_are_a_page() -> None:
    page = first_orders(USER_ID, largest(21), DEFAULT_PAGE_SIZE)
    assert len(page.items) == DEFAULT_PAGE_SIZE
    assert page.next_page_token
    assert _page(page).ByteSize() <= MAX_PAGE_BYTES


def test_a_page_ends_before_it_is_too_large_for_a_client() -> None:
    many = largest(101)
    pages, rest = list[Page[Order]](), many
    while rest:
        pages.append(first_orders(USER_ID, rest, 100))
        rest = rest[len(pages[-1].items) :]
    assert [order for page in pages for order in page.items] == many
    assert [bool(page.next_page_token) for page in pages] == [True] * (len(pages) - 1) + [False]
    for page in pages:
        answer = _page(page)
        assert answer.ByteSize() <= MAX_PAGE_BYTES
    assert _page(pages[0]).ByteSize() > 0.8 * MAX_PAGE_BYTES


@pytest.mark.parametrize("known", [3, 4, 5])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_a_page_shortened_is_the_page_that_would_have_been_asked_for(known: int, size: int) -> None:
    page = first_orders(USER_ID, orders(known), 4)
    expected = first_orders(USER_ID, orders(known), min(size, 4))
    assert shortened(USER_ID, page, size) == expected
