import pytest

from services.common.errors import Unavailable
from services.order.model import OrderItem, OrderStatus
from tests.unit.order.fakes import ANNA, BERT, LAMP, ROOT, Fault, Shop


async def killed_while_pending(shop: Shop, request_id: str = "r-1") -> None:
    """An order of two lamps whose process died between reserving and deciding."""
    shop.wire.fail("save", Fault.REQUEST_LOST)
    with pytest.raises(Unavailable):
        await shop.buy(2, request_id)
    shop.aftermath.given_up.clear()


async def killed_after_deciding(shop: Shop) -> None:
    """A confirmed order of two lamps whose process died before settling."""
    await shop.buy(2)
    shop.aftermath.settled.clear()


async def reconcile_later(shop: Shop) -> None:
    shop.now.pass_s(61)
    await shop.reconciler.run()


async def test_an_abandoned_order_is_rejected_and_its_stock_released(shop: Shop) -> None:
    await killed_while_pending(shop)
    await reconcile_later(shop)
    order = shop.checkout().order
    assert (order.status, order.reject_reason) == (OrderStatus.REJECTED, "ABANDONED")
    assert shop.lamps == (5, 0, 0)
    assert shop.checkout().settled


async def test_a_sold_order_is_committed(shop: Shop) -> None:
    await killed_after_deciding(shop)
    await reconcile_later(shop)
    assert shop.checkout().order.status is OrderStatus.CONFIRMED
    assert shop.lamps == (3, 0, 2)
    assert shop.checkout().settled


async def test_a_cancelled_order_is_released(shop: Shop) -> None:
    await shop.buy(2)
    await shop.settle()
    await shop.usecases.cancel_order(ANNA, shop.checkout().order.order_id)
    shop.aftermath.settled.clear()
    await reconcile_later(shop)
    assert shop.lamps == (5, 0, 0)


async def test_what_is_young_is_left_to_its_own_process(shop: Shop) -> None:
    await killed_while_pending(shop)
    shop.now.pass_s(59)
    await shop.reconciler.run()
    assert shop.checkout().pending
    assert shop.lamps == (3, 2, 0)


async def test_what_somebody_works_on_is_young(shop: Shop) -> None:
    await killed_while_pending(shop)
    shop.now.pass_s(59)
    await shop.orders.save(shop.checkout().given_up())
    shop.now.pass_s(59)
    await shop.reconciler.run()
    assert shop.checkout().pending


async def test_what_is_settled_is_left_alone(shop: Shop) -> None:
    await shop.buy(2)
    await shop.settle()
    before = shop.checkout()
    await reconcile_later(shop)
    assert shop.checkout() == before


async def test_an_order_that_is_decided_meanwhile_is_left_to_who_decided(shop: Shop) -> None:
    await killed_while_pending(shop)

    async def confirm() -> None:
        await shop.buy(2)

    shop.wire.meanwhile("save", confirm)
    await reconcile_later(shop)
    assert shop.checkout().order.status is OrderStatus.CONFIRMED
    await shop.settle()
    assert shop.lamps == (3, 0, 2)


async def test_a_reservation_of_no_order_is_released(shop: Shop) -> None:
    await shop.stock.reserve(f"{'9' * 24}-1", [OrderItem(LAMP, 4)])
    await reconcile_later(shop)
    assert shop.lamps == (5, 0, 0)


async def test_a_young_reservation_of_no_order_is_kept(shop: Shop) -> None:
    await shop.stock.reserve(f"{'9' * 24}-1", [OrderItem(LAMP, 4)])
    await shop.reconciler.run()
    assert shop.lamps == (1, 4, 0)


async def test_a_reservation_that_an_order_still_needs_is_kept(shop: Shop) -> None:
    await killed_while_pending(shop)
    shop.now.pass_s(61)
    pending = shop.checkout()
    await shop.orders.save(pending.followed())  # touched, so that only its reservation is old
    await shop.reconciler.run()
    assert shop.lamps == (3, 2, 0)


async def test_a_held_reservation_of_a_sold_order_is_kept(shop: Shop) -> None:
    await killed_after_deciding(shop)
    shop.now.pass_s(61)
    await shop.usecases.update_order_status(
        ROOT, shop.checkout().order.order_id, OrderStatus.SHIPPED
    )
    await shop.reconciler.run()
    assert shop.lamps == (3, 2, 0)
    await reconcile_later(shop)
    assert shop.lamps == (3, 0, 2)


async def test_a_held_reservation_of_a_given_up_attempt_is_released(shop: Shop) -> None:
    await killed_while_pending(shop)
    shop.now.pass_s(61)
    await shop.orders.save(shop.checkout().given_up())
    await shop.reconciler.run()
    assert shop.checkout().pending
    assert shop.lamps == (5, 0, 0)


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("step", ["unsettled", "save", "release", "held_since"])
async def test_a_round_that_breaks_off_is_made_good_by_the_next(
    shop: Shop, step: str, fault: Fault
) -> None:
    await killed_while_pending(shop)
    shop.wire.fail(step, fault)
    with pytest.raises(Unavailable):
        await reconcile_later(shop)
    await reconcile_later(shop)
    assert shop.lamps == (5, 0, 0)
    assert shop.checkout().settled


async def test_an_order_that_cannot_be_settled_does_not_keep_the_others_waiting(
    shop: Shop,
) -> None:
    """Say, because Inventory was restored from a backup and knows no such reservation."""
    await killed_after_deciding(shop)
    shop.stock.reservations.clear()
    await shop.buy(2, "r-2", BERT)
    shop.aftermath.settled.clear()
    await shop.stock.reserve(f"{'9' * 24}-1", [OrderItem(LAMP, 1)])
    await reconcile_later(shop)
    assert [known.settled for known in shop.orders.known.values()] == [False, True]
    assert [known.state.name for known in shop.stock.reservations.values()] == [
        "COMMITTED",
        "RELEASED",
    ]
