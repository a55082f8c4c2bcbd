import asyncio
from contextlib import suppress

import pytest

from services.common.errors import InvalidArgument, Unavailable
from services.common.money import Money
from services.order.model import (
    MAX_ATTEMPTS,
    CheckoutInterrupted,
    OrderItem,
    OrderStatus,
    RejectReason,
    RequestIdReused,
)
from tests.unit.order.fakes import ANNA, BERT, DESK, DOLLAR_BOOK, LAMP, Fault, Shop

NOTHING_TAKEN = (5, 0, 0)


async def test_a_checkout_sells_at_the_prices_of_inventory(shop: Shop) -> None:
    order = await shop.usecases.create_order(ANNA, "r-1", [OrderItem(LAMP, 2), OrderItem(DESK, 1)])
    assert (order.status, order.user_id) == (OrderStatus.CONFIRMED, ANNA.subject)
    assert [(line.name, line.line_total) for line in order.lines] == [
        ("Lamp", Money("EUR", 3998)),
        ("Desk", Money("EUR", 20000)),
    ]
    assert order.total == Money("EUR", 23998)
    await shop.settle()
    assert shop.lamps == (3, 0, 2)
    assert shop.checkout().settled


async def test_the_customer_is_asked_after_while_the_stock_is_reserved(shop: Shop) -> None:
    both = asyncio.Barrier(2)
    shop.wire.meanwhile("reserve", both.wait)
    shop.wire.meanwhile("confirm_active", both.wait)
    async with asyncio.timeout(30):
        assert (await shop.buy()).status is OrderStatus.CONFIRMED


async def test_a_repeated_request_returns_the_same_order_and_takes_nothing_more(shop: Shop) -> None:
    first, second = await shop.buy(), await shop.buy()
    assert first == second
    await shop.settle()
    assert shop.lamps == (4, 0, 1)


async def test_one_request_sent_many_times_at_once_makes_one_order(shop: Shop) -> None:
    orders = await asyncio.gather(*(shop.buy() for _ in range(20)))
    assert {order.order_id for order in orders} == {shop.checkout().order.order_id}
    assert {order.status for order in orders} == {OrderStatus.CONFIRMED}
    await shop.settle()
    assert shop.lamps == (4, 0, 1)


async def test_a_request_id_of_other_items_is_refused(shop: Shop) -> None:
    await shop.buy(1)
    with pytest.raises(RequestIdReused):
        await shop.buy(2)
    await shop.settle()
    assert shop.lamps == (4, 0, 1)


async def test_two_users_may_choose_the_same_request_id(shop: Shop) -> None:
    annas, berts = await shop.buy(buyer=ANNA), await shop.buy(buyer=BERT)
    assert annas.order_id != berts.order_id


async def test_a_request_that_breaks_a_rule_leaves_no_trace(shop: Shop) -> None:
    with pytest.raises(InvalidArgument):
        await shop.buy(0)
    assert not shop.orders.known


async def test_an_order_of_more_than_there_is_is_rejected_and_takes_nothing(shop: Shop) -> None:
    order = await shop.usecases.create_order(ANNA, "r-1", [OrderItem(DESK, 1), OrderItem(LAMP, 6)])
    assert order.status is OrderStatus.REJECTED
    assert order.reject_reason == "INSUFFICIENT_STOCK"
    assert order.reject_message == "too few are left"
    assert order.total is None
    assert shop.aftermath.settled == [shop.checkout()]
    await shop.settle()
    assert shop.lamps == NOTHING_TAKEN
    assert shop.stock.states() == {"1": "RELEASED"}


async def test_an_order_of_an_unknown_product_is_rejected(shop: Shop) -> None:
    order = await shop.usecases.create_order(ANNA, "r-1", [OrderItem("f" * 24, 1)])
    assert order.reject_reason == "PRODUCT_NOT_FOUND"


async def test_an_order_in_two_currencies_is_rejected_and_its_stock_given_back(shop: Shop) -> None:
    items = [OrderItem(LAMP, 1), OrderItem(DOLLAR_BOOK, 1)]
    order = await shop.usecases.create_order(ANNA, "r-1", items)
    assert order.reject_reason == "MIXED_CURRENCIES"
    await shop.settle()
    assert shop.lamps == NOTHING_TAKEN


@pytest.mark.parametrize("reason", [RejectReason.USER_NOT_FOUND, RejectReason.USER_NOT_ACTIVE])
async def test_who_may_not_order_is_rejected_and_the_stock_given_back(
    shop: Shop, reason: RejectReason
) -> None:
    shop.customers.refused[ANNA.subject] = reason
    order = await shop.buy()
    assert (order.status, order.reject_reason) == (OrderStatus.REJECTED, reason.value)
    await shop.settle()
    assert shop.lamps == NOTHING_TAKEN


async def test_a_rejected_request_stays_rejected_when_it_is_repeated(shop: Shop) -> None:
    rejected = await shop.buy(6)
    await shop.settle()
    shop.stock.shelves[LAMP].available = 100
    assert await shop.buy(6) == rejected


OPEN_ENDS = [
    ("reserve", Fault.REQUEST_LOST),
    ("reserve", Fault.ANSWER_LOST),
    ("reserve", Fault.REQUEST_LATE),
    ("confirm_active", Fault.REQUEST_LOST),
]


@pytest.mark.parametrize(("step", "fault"), OPEN_ENDS)
async def test_when_a_peer_is_down_the_order_stays_open_and_nothing_stays_reserved(
    shop: Shop, step: str, fault: Fault
) -> None:
    shop.wire.fail(step, fault)
    with pytest.raises(Unavailable):
        await shop.buy()
    assert [checkout.attempt for checkout in shop.aftermath.given_up] == [1]
    await shop.settle()
    await shop.wire.late_arrivals()
    assert shop.checkout().pending
    assert shop.lamps == NOTHING_TAKEN


@pytest.mark.parametrize(("step", "fault"), OPEN_ENDS)
async def test_repeating_a_request_that_was_left_open_finishes_its_order(
    shop: Shop, step: str, fault: Fault
) -> None:
    shop.wire.fail(step, fault)
    with pytest.raises(Unavailable):
        await shop.buy()
    await shop.settle()
    order = await shop.buy()
    assert order.status is OrderStatus.CONFIRMED
    assert shop.checkout().reservation_id.endswith("-2")
    await shop.settle()
    assert shop.lamps == (4, 0, 1)
    assert shop.stock.states() == {"1": "RELEASED", "2": "COMMITTED"}


async def test_a_request_repeated_before_its_first_attempt_was_given_up_finishes_it(
    shop: Shop,
) -> None:
    shop.wire.fail("confirm_active", Fault.REQUEST_LOST)
    with pytest.raises(Unavailable):
        await shop.buy()
    assert (await shop.buy()).status is OrderStatus.CONFIRMED
    await shop.settle()
    assert shop.stock.states() == {"1": "COMMITTED"}
    assert shop.lamps == (4, 0, 1)


@pytest.mark.parametrize("reason", [RejectReason.USER_NOT_FOUND, RejectReason.USER_NOT_ACTIVE])
async def test_a_refused_customer_counts_though_inventory_is_down(
    shop: Shop, reason: RejectReason
) -> None:
    shop.customers.refused[ANNA.subject] = reason
    shop.wire.fail("reserve", Fault.ANSWER_LOST)
    assert (await shop.buy()).reject_reason == reason.value
    await shop.settle()
    assert shop.lamps == NOTHING_TAKEN


async def test_missing_stock_counts_though_the_user_service_is_down(shop: Shop) -> None:
    shop.wire.fail("confirm_active", Fault.REQUEST_LOST)
    assert (await shop.buy(6)).reject_reason == "INSUFFICIENT_STOCK"
    assert not shop.aftermath.given_up


async def test_whoever_decides_first_has_decided(shop: Shop) -> None:
    async def cancel() -> None:
        await shop.usecases.cancel_order(ANNA, shop.checkout().order.order_id)

    shop.wire.meanwhile("save", cancel)
    assert (await shop.buy()).status is OrderStatus.CANCELLED
    assert [checkout.order.status for checkout in shop.aftermath.settled] == ["CANCELLED"]
    await shop.settle()
    assert shop.lamps == NOTHING_TAKEN


async def test_an_attempt_that_was_given_up_meanwhile_is_followed_by_the_next(shop: Shop) -> None:
    async def give_up() -> None:
        await shop.settlement.give_up(shop.checkout())

    shop.wire.meanwhile("reserve", give_up)
    assert (await shop.buy()).status is OrderStatus.CONFIRMED
    await shop.settle()
    assert shop.stock.states() == {"1": "RELEASED", "2": "COMMITTED"}


async def test_an_attempt_given_up_after_it_reserved_is_not_confirmed(shop: Shop) -> None:
    async def give_up() -> None:
        await shop.settlement.give_up(shop.checkout())

    shop.wire.meanwhile("save", give_up)
    assert (await shop.buy()).status is OrderStatus.CONFIRMED
    await shop.settle()
    assert shop.stock.states() == {"1": "RELEASED", "2": "COMMITTED"}
    assert shop.lamps == (4, 0, 1)


async def test_a_reservation_that_inventory_alone_knows_as_released_is_followed_by_the_next(
    shop: Shop,
) -> None:
    """Say, because the databases were restored from different moments."""
    shop.wire.fail("reserve", Fault.REQUEST_LOST)
    with pytest.raises(Unavailable):
        await shop.buy()
    await shop.settle()
    await shop.stock.release(shop.checkout().reservation_id)
    assert (await shop.buy()).status is OrderStatus.CONFIRMED
    await shop.settle()
    assert shop.lamps == (4, 0, 1)


async def test_an_order_that_others_keep_changing_is_left_open_after_five_rounds(
    shop: Shop,
) -> None:
    async def give_up() -> None:
        await shop.settlement.give_up(shop.checkout())

    shop.wire.meanwhile("reserve", *[give_up] * 5)
    with pytest.raises(CheckoutInterrupted) as interrupted:
        await shop.buy()
    assert interrupted.value.metadata == {"order_id": shop.checkout().order.order_id}
    assert (await shop.buy()).status is OrderStatus.CONFIRMED


async def test_a_caller_who_goes_away_leaves_nothing_reserved(shop: Shop) -> None:
    stuck = asyncio.Event()

    async def hang() -> None:
        stuck.set()
        await asyncio.Event().wait()

    shop.wire.meanwhile("confirm_active", hang)
    call = asyncio.create_task(shop.buy())
    await stuck.wait()
    assert shop.lamps == (4, 1, 0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await shop.settle()
    assert shop.checkout().pending
    assert shop.lamps == NOTHING_TAKEN


async def test_a_decision_whose_answer_was_lost_is_found_when_the_request_is_repeated(
    shop: Shop,
) -> None:
    shop.wire.fail("save", Fault.ANSWER_LOST)
    with pytest.raises(Unavailable):
        await shop.buy()
    assert (await shop.buy()).status is OrderStatus.CONFIRMED
    assert shop.stock.states() == {"1": "HELD"}


@pytest.mark.parametrize("fault", Fault)
async def test_an_order_that_could_not_be_opened_is_opened_by_the_next_request(
    shop: Shop, fault: Fault
) -> None:
    shop.wire.fail("open", fault)
    with pytest.raises(Unavailable):
        await shop.buy()
    assert (await shop.buy()).order_id == shop.checkout().order.order_id


@pytest.mark.parametrize("away", [("confirm_active",), ("reserve", "release")])
async def test_a_client_who_repeats_while_a_peer_is_away_for_an_hour_gets_the_order(
    shop: Shop, away: tuple[str, ...]
) -> None:
    for step in away:
        shop.wire.fail(step, *[Fault.REQUEST_LOST] * 1_000)
    for _ in range(720):
        with pytest.raises(Unavailable):
            await shop.buy()
        with suppress(Unavailable):
            await shop.settle()
        shop.now.pass_s(5)
        with suppress(Unavailable):
            await shop.reconciler.run()
    assert shop.lamps == NOTHING_TAKEN
    shop.wire.recover()
    assert (await shop.buy()).status is OrderStatus.CONFIRMED
    await shop.settle()
    assert shop.lamps == (4, 0, 1)


async def cancelled_in_mid_reservation(shop: Shop) -> None:
    """A call whose client goes away when the stock is reserved."""
    stuck = asyncio.Event()

    async def hang() -> None:
        stuck.set()
        await asyncio.Event().wait()

    first = not shop.orders.known
    shop.wire.meanwhile("confirm_active" if first else "reserve", hang)
    call = asyncio.create_task(shop.buy())
    await stuck.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await shop.settle()


async def test_each_of_many_cancelled_calls_asks_inventory_for_no_more_than_the_first(
    shop: Shop,
) -> None:
    for _ in range(MAX_ATTEMPTS):
        before = shop.wire.crossings["release"]
        await cancelled_in_mid_reservation(shop)
        assert shop.wire.crossings["release"] <= before + 2
    order = await shop.buy()
    assert (order.status, order.reject_reason) == (OrderStatus.REJECTED, "TOO_MANY_ATTEMPTS")
    await shop.settle()
    assert shop.lamps == NOTHING_TAKEN
    assert shop.checkout().settled
    assert (await shop.buy()) == order


async def test_an_order_that_was_broken_off_often_is_completed_while_attempts_are_left(
    shop: Shop,
) -> None:
    for _ in range(MAX_ATTEMPTS - 1):
        await cancelled_in_mid_reservation(shop)
    assert (await shop.buy()).status is OrderStatus.CONFIRMED
    await shop.settle()
    assert shop.lamps == (4, 0, 1)


async def test_a_call_cancelled_before_it_reserves_uses_no_attempt_up(shop: Shop) -> None:
    await cancelled_in_mid_reservation(shop)
    shop.wire.fail("release", *[Fault.REQUEST_LOST] * 5)
    for _ in range(5):
        with pytest.raises(Unavailable):
            await shop.buy()
        await shop.settle()
    assert shop.checkout().attempt == 2


async def test_an_order_whose_prices_changed_is_rejected_and_its_stock_given_back(
    shop: Shop,
) -> None:
    items, total = [OrderItem(LAMP, 2)], Money("EUR", 3998)
    sold = await shop.usecases.create_order(ANNA, "r-1", items, total)
    assert (sold.status, sold.total) == (OrderStatus.CONFIRMED, total)
    await shop.settle()
    shop.stock.shelves[LAMP].price = Money("EUR", 2000)
    order = await shop.usecases.create_order(ANNA, "r-2", items, total)
    assert (order.status, order.reject_reason) == (OrderStatus.REJECTED, "PRICE_CHANGED")
    assert "4000 EUR" in order.reject_message
    await shop.settle()
    assert shop.lamps == (3, 0, 2)


async def test_a_request_repeated_in_another_order_of_items_reserves_as_the_first_did(
    shop: Shop,
) -> None:
    items = [OrderItem(LAMP, 1), OrderItem(DESK, 1)]
    shop.wire.fail("confirm_active", Fault.REQUEST_LOST)
    with pytest.raises(Unavailable):
        await shop.usecases.create_order(ANNA, "r-1", items)
    await shop.settle()
    order = await shop.usecases.create_order(ANNA, "r-1", items[::-1])
    assert order.status is OrderStatus.CONFIRMED
    assert [line.product_id for line in order.lines] == [LAMP, DESK]
    assert shop.stock.reservations[shop.checkout().reservation_id].items == items
    assert await shop.usecases.create_order(ANNA, "r-1", items[::-1]) == order


async def test_the_last_piece_is_still_the_customers_when_they_repeat_at_once(shop: Shop) -> None:
    """An attempt that was given up may hold stock until its release arrives."""
    shop.wire.fail("confirm_active", Fault.REQUEST_LOST)
    shop.wire.fail("release", Fault.REQUEST_LOST)
    with pytest.raises(Unavailable):
        await shop.buy(5)
    with pytest.raises(Unavailable):
        await shop.settle()
    assert shop.lamps == (0, 5, 0)
    assert (await shop.buy(5)).status is OrderStatus.CONFIRMED
