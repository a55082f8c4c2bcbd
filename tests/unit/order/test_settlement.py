import asyncio

import pytest

from services.common.background import BackgroundTasks
from services.common.errors import Unavailable
from services.order.model import OrderStatus
from services.order.settlement import BackgroundAftermath
from tests.unit.order.fakes import ANNA, Fault, Shop, StockRefusedError


async def open_ended(shop: Shop) -> None:
    """An order that reserved five lamps, and whose attempt is yet to be given up."""
    shop.wire.fail("reserve", Fault.ANSWER_LOST)
    with pytest.raises(Unavailable):
        await shop.buy(5)
    assert shop.lamps == (0, 5, 0)


async def test_sold_stock_is_committed_and_noted(shop: Shop) -> None:
    await shop.buy(2)
    assert shop.lamps == (3, 2, 0)
    await shop.settle()
    assert shop.lamps == (3, 0, 2)
    assert shop.checkout().settled


async def test_unsold_stock_is_released_and_noted(shop: Shop) -> None:
    await shop.buy(2)
    await shop.usecases.cancel_order(ANNA, shop.checkout().order.order_id)
    shop.aftermath.settled.pop(0)
    await shop.settle()
    assert shop.lamps == (5, 0, 0)
    assert shop.checkout().settled


async def test_settling_again_changes_nothing(shop: Shop) -> None:
    await shop.buy(2)
    confirmed = shop.checkout()
    for _ in range(3):
        await shop.settlement.settle(confirmed)
    assert shop.lamps == (3, 0, 2)


async def test_what_the_attempt_before_held_is_released_too(shop: Shop) -> None:
    await open_ended(shop)
    await shop.orders.save(shop.checkout().given_up())
    cancelled = shop.checkout().cancelled(shop.now())
    await shop.orders.save(cancelled)
    await shop.settlement.settle(cancelled)
    assert shop.lamps == (5, 0, 0)
    assert shop.stock.states() == dict.fromkeys("12", "RELEASED")


async def test_a_released_reservation_can_never_be_reserved_again(shop: Shop) -> None:
    """A reservation on its way while its order is cancelled arrives to find a tombstone."""

    async def cancel_and_settle() -> None:
        await shop.usecases.cancel_order(ANNA, shop.checkout().order.order_id)
        await shop.settle()

    shop.wire.meanwhile("reserve", cancel_and_settle)
    assert (await shop.buy()).status is OrderStatus.CANCELLED
    assert shop.lamps == (5, 0, 0)


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("step", ["commit", "save"])
async def test_a_settlement_that_broke_off_can_be_repeated(
    shop: Shop, step: str, fault: Fault
) -> None:
    await shop.buy(2)
    shop.wire.fail(step, fault)
    with pytest.raises(Unavailable):
        await shop.settlement.settle(shop.checkout())
    await shop.settle()
    assert shop.lamps == (3, 0, 2)


async def test_a_late_settlement_does_not_undo_a_cancellation(shop: Shop) -> None:
    await shop.buy(2)
    (confirmed,) = shop.aftermath.settled
    await shop.usecases.cancel_order(ANNA, confirmed.order.order_id)
    await shop.settlement.settle(shop.checkout())
    with pytest.raises(StockRefusedError):
        await shop.settlement.settle(confirmed)
    assert shop.lamps == (5, 0, 0)
    assert shop.checkout().settled


async def test_a_settlement_does_not_call_a_newer_decision_settled(shop: Shop) -> None:
    await shop.buy(2)

    async def cancel() -> None:
        await shop.usecases.cancel_order(ANNA, shop.checkout().order.order_id)

    shop.wire.meanwhile("save", cancel)
    await shop.settlement.settle(shop.checkout())
    assert not shop.checkout().settled


async def test_an_attempt_that_is_given_up_is_over_before_its_stock_is_released(
    shop: Shop,
) -> None:
    await open_ended(shop)
    attempts = []

    async def look() -> None:
        attempts.append(shop.checkout().attempt)

    shop.wire.meanwhile("release", look)
    await shop.settle()
    assert attempts == [2]
    assert shop.lamps == (5, 0, 0)


async def test_an_attempt_that_cannot_be_ended_keeps_its_stock(shop: Shop) -> None:
    await open_ended(shop)
    shop.wire.fail("save", Fault.REQUEST_LOST)
    with pytest.raises(Unavailable):
        await shop.settle()
    assert shop.lamps == (0, 5, 0)


async def test_giving_up_does_nothing_once_the_order_is_decided(shop: Shop) -> None:
    await open_ended(shop)
    (open_attempt,) = shop.aftermath.given_up
    assert (await shop.buy(5)).status is OrderStatus.CONFIRMED
    await shop.settlement.give_up(open_attempt)
    assert shop.checkout().order.status is OrderStatus.CONFIRMED
    assert shop.lamps == (0, 5, 0)


async def test_giving_up_twice_ends_one_attempt(shop: Shop) -> None:
    await open_ended(shop)
    (open_attempt,) = shop.aftermath.given_up
    await shop.settlement.give_up(open_attempt)
    await shop.settlement.give_up(open_attempt)
    assert shop.checkout().attempt == 2


async def test_the_aftermath_runs_beside_the_answer(shop: Shop) -> None:
    tasks = BackgroundTasks(at_most=1)
    await shop.buy(2)
    BackgroundAftermath(shop.settlement, tasks).settle(shop.checkout())
    assert shop.lamps == (3, 2, 0)
    await tasks.drain(timeout_s=5)
    assert shop.lamps == (3, 0, 2)


async def test_what_finds_no_place_or_fails_beside_the_answer_is_left_to_the_reconciler(
    shop: Shop,
) -> None:
    await shop.buy(2)
    full, failing = BackgroundTasks(at_most=0), BackgroundTasks(at_most=1)
    BackgroundAftermath(shop.settlement, full).settle(shop.checkout())
    shop.wire.fail("commit", Fault.REQUEST_LOST)
    BackgroundAftermath(shop.settlement, failing).settle(shop.checkout())
    await asyncio.gather(full.drain(5), failing.drain(5))
    assert shop.lamps == (3, 2, 0)
    shop.now.pass_s(61)
    await shop.reconciler.run()
    assert shop.lamps == (3, 0, 2)
