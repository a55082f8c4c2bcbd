"""Seeing, listing, cancelling and moving orders on."""

import pytest

from services.common.auth.principal import ANONYMOUS, Principal
from services.common.errors import InvalidArgument, Unavailable
from services.order.model import (
    CheckoutInterrupted,
    ForbiddenMove,
    Order,
    OrderNotFound,
    OrderStatus,
)
from tests.unit.order.fakes import ANNA, BERT, ROOT, SERVICE, Fault, Shop


async def sold(shop: Shop, status: OrderStatus = OrderStatus.CONFIRMED) -> Order:
    """An order of Anna's that has come this far."""
    order = await shop.buy(2)
    for step in (OrderStatus.SHIPPED, OrderStatus.DELIVERED):
        if order.status is not status:
            order = await shop.usecases.update_order_status(ROOT, order.order_id, step)
    await shop.settle()
    return order


@pytest.mark.parametrize("principal", [ANNA, ROOT, SERVICE])
async def test_an_order_shows_to_its_owner_administrators_and_services(
    shop: Shop, principal: Principal
) -> None:
    order = await shop.buy()
    assert await shop.usecases.get_order(principal, order.order_id) == order


@pytest.mark.parametrize("principal", [BERT, ANONYMOUS])
async def test_somebody_elses_order_answers_as_if_it_did_not_exist(
    shop: Shop, principal: Principal
) -> None:
    order = await shop.buy()
    for call in (shop.usecases.get_order, shop.usecases.cancel_order):
        with pytest.raises(OrderNotFound) as hidden:
            await call(principal, order.order_id)
        with pytest.raises(OrderNotFound) as absent:
            await call(principal, "f" * 24)
        assert hidden.value.message.replace(order.order_id, "f" * 24) == absent.value.message
    assert shop.checkout().order == order


async def test_a_bad_order_id_is_refused_by_name(shop: Shop) -> None:
    for call in (
        shop.usecases.get_order(ANNA, "x"),
        shop.usecases.cancel_order(ANNA, ""),
        shop.usecases.update_order_status(ROOT, "x", OrderStatus.SHIPPED),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await call
        assert [violation.field for violation in refused.value.violations] == ["order_id"]


async def test_orders_are_listed_newest_first_page_by_page(shop: Shop) -> None:
    shop.stock.shelves["a" * 24].available = 100
    bought = [(await shop.buy(request_id=f"r-{n}")).order_id for n in range(5)]
    await shop.buy(buyer=BERT)
    listed, token = list[str](), ""
    for _ in range(3):
        page = (await shop.usecases.list_user_orders(ANNA.subject, 2, token)).value
        listed, token = listed + [order.order_id for order in page.items], page.next_page_token
    assert listed == bought[::-1]
    assert token == ""


async def test_a_list_is_asked_for_with_a_good_user_size_and_token(shop: Shop) -> None:
    for _ in range(2):
        await shop.buy(request_id=f"r-{_}")
    first = await shop.usecases.list_user_orders(ANNA.subject, 1, "")
    token = first.value.next_page_token
    for call, field in [
        (shop.usecases.list_user_orders("x", 0, ""), "user_id"),
        (shop.usecases.list_user_orders(ANNA.subject, -1, ""), "page_size"),
        (shop.usecases.list_user_orders(BERT.subject, 0, token), "page_token"),
    ]:
        with pytest.raises(InvalidArgument) as refused:
            await call
        assert [violation.field for violation in refused.value.violations] == [field]


@pytest.mark.parametrize("principal", [ANNA, ROOT, SERVICE])
async def test_cancelling_gives_the_stock_back_once(shop: Shop, principal: Principal) -> None:
    order = await sold(shop)
    assert shop.lamps == (3, 0, 2)
    for _ in range(3):
        cancelled = await shop.usecases.cancel_order(principal, order.order_id)
        assert cancelled.status is OrderStatus.CANCELLED
        await shop.settle()
        assert shop.lamps == (5, 0, 0)
    assert shop.checkout().settled


async def test_a_pending_order_can_be_cancelled_and_is_never_sold_after(shop: Shop) -> None:
    shop.wire.fail("reserve", Fault.ANSWER_LOST)
    with pytest.raises(Unavailable):
        await shop.buy()
    await shop.usecases.cancel_order(ANNA, shop.checkout().order.order_id)
    await shop.settle()
    assert (await shop.buy()).status is OrderStatus.CANCELLED
    assert shop.lamps == (5, 0, 0)


@pytest.mark.parametrize("status", [OrderStatus.SHIPPED, OrderStatus.DELIVERED])
async def test_what_is_on_its_way_cannot_be_cancelled(shop: Shop, status: OrderStatus) -> None:
    order = await sold(shop, status)
    with pytest.raises(ForbiddenMove):
        await shop.usecases.cancel_order(ANNA, order.order_id)
    with pytest.raises(ForbiddenMove):
        await shop.usecases.update_order_status(ROOT, order.order_id, OrderStatus.CANCELLED)
    await shop.settle()
    assert shop.lamps == (3, 0, 2)


@pytest.mark.parametrize(
    ("status", "irrevocable"),
    [(OrderStatus.CONFIRMED, False), (OrderStatus.SHIPPED, True), (OrderStatus.DELIVERED, True)],
)
async def test_inventory_learns_when_a_sale_can_no_longer_be_undone(
    shop: Shop,
    status: OrderStatus,
    irrevocable: bool,  # noqa: FBT001
) -> None:
    await sold(shop, status)
    (reservation,) = shop.stock.reservations.values()
    assert reservation.irrevocable is irrevocable
    assert shop.checkout().settled


async def test_a_rejected_order_cannot_be_cancelled(shop: Shop) -> None:
    order = await shop.buy(6)
    with pytest.raises(ForbiddenMove):
        await shop.usecases.cancel_order(ANNA, order.order_id)


async def test_cancelling_tries_again_when_somebody_changed_the_order_meanwhile(
    shop: Shop,
) -> None:
    order = await shop.buy()
    shop.wire.meanwhile("save", shop.settle)
    cancelled = await shop.usecases.cancel_order(ANNA, order.order_id)
    assert cancelled.status is OrderStatus.CANCELLED
    await shop.settle()
    assert shop.lamps == (5, 0, 0)


async def test_a_cancellation_that_loses_to_the_shipment_is_refused(shop: Shop) -> None:
    order = await sold(shop)

    async def ship() -> None:
        await shop.usecases.update_order_status(ROOT, order.order_id, OrderStatus.SHIPPED)

    shop.wire.meanwhile("save", ship)
    with pytest.raises(ForbiddenMove):
        await shop.usecases.cancel_order(ANNA, order.order_id)
    assert shop.lamps == (3, 0, 2)


async def test_an_order_is_shipped_then_delivered_and_stays_sold(shop: Shop) -> None:
    order = await sold(shop, OrderStatus.DELIVERED)
    assert order.status is OrderStatus.DELIVERED
    assert shop.lamps == (3, 0, 2)


@pytest.mark.parametrize(
    ("at", "wanted"),
    [
        (OrderStatus.CONFIRMED, OrderStatus.DELIVERED),
        (OrderStatus.SHIPPED, OrderStatus.SHIPPED),
        (OrderStatus.DELIVERED, OrderStatus.SHIPPED),
        (OrderStatus.DELIVERED, OrderStatus.DELIVERED),
        (OrderStatus.CONFIRMED, OrderStatus.CONFIRMED),
        (OrderStatus.CONFIRMED, OrderStatus.PENDING),
        (OrderStatus.CONFIRMED, OrderStatus.REJECTED),
    ],
)
async def test_an_order_neither_skips_a_step_nor_goes_back(
    shop: Shop, at: OrderStatus, wanted: OrderStatus
) -> None:
    order = await sold(shop, at)
    with pytest.raises(ForbiddenMove):
        await shop.usecases.update_order_status(ROOT, order.order_id, wanted)
    assert shop.checkout().order == order


@pytest.mark.parametrize("status", [OrderStatus.CONFIRMED, OrderStatus.REJECTED])
async def test_what_a_checkout_decides_nobody_else_does(shop: Shop, status: OrderStatus) -> None:
    shop.wire.fail("reserve", Fault.ANSWER_LOST)
    with pytest.raises(Unavailable):
        await shop.buy()
    pending = shop.checkout()
    with pytest.raises(ForbiddenMove):
        await shop.usecases.update_order_status(ROOT, pending.order.order_id, status)
    assert shop.checkout() == pending


async def test_a_status_that_is_none_is_refused_by_name(shop: Shop) -> None:
    order = await shop.buy()
    with pytest.raises(InvalidArgument) as refused:
        await shop.usecases.update_order_status(ROOT, order.order_id, None)
    assert [violation.field for violation in refused.value.violations] == ["status"]


async def test_an_administrator_may_cancel_by_status(shop: Shop) -> None:
    order = await sold(shop)
    await shop.usecases.update_order_status(ROOT, order.order_id, OrderStatus.CANCELLED)
    await shop.settle()
    assert shop.lamps == (5, 0, 0)


@pytest.mark.parametrize("status", [OrderStatus.CANCELLED, OrderStatus.SHIPPED])
async def test_a_move_that_keeps_losing_is_given_up_after_five_rounds(
    shop: Shop, status: OrderStatus
) -> None:
    order = await shop.buy()

    async def touch() -> None:
        shop.orders.known[order.order_id] = shop.checkout().followed()

    shop.wire.meanwhile("save", *[touch] * 5)
    with pytest.raises(CheckoutInterrupted):
        await shop.usecases.update_order_status(ROOT, order.order_id, status)
    assert shop.checkout().order == order
