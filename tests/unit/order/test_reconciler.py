from itertools import pairwise

import pytest

from services.common.errors import Unavailable
from services.order.model import OrderItem, OrderStatus
from tests.unit.order.fakes import ANNA, BERT, HELD_PAGE, LAMP, ROOT, Fault, Shop


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


async def test_an_order_kept_open_by_repeated_calls_holds_its_stock_no_longer_than_others(
    shop: Shop,
) -> None:
    await killed_while_pending(shop)
    shop.now.pass_s(61)
    await shop.orders.touch(shop.checkout())
    await shop.reconciler.run()
    assert shop.checkout().pending
    assert shop.lamps == (5, 0, 0)
    assert (await shop.buy(2)).status is OrderStatus.CONFIRMED


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


async def lost_by_inventory(shop: Shop, count: int) -> None:
    """So many sold orders that can never be settled, since Inventory was restored without them."""
    shop.stock.shelves[LAMP].available = 1_000
    for n in range(count):
        await shop.buy(1, f"lost-{n}")
    shop.stock.reservations.clear()
    shop.stock.shelves[LAMP].available = 5
    shop.stock.shelves[LAMP].reserved = 0
    shop.aftermath.settled.clear()


async def test_many_orders_that_cannot_be_settled_do_not_keep_the_next_waiting(shop: Shop) -> None:
    await lost_by_inventory(shop, 250)
    await shop.buy(2, "good", BERT)
    shop.aftermath.settled.clear()
    shop.now.pass_s(61)
    for _ in range(3):
        await shop.reconciler.run()
    assert shop.lamps == (3, 0, 2)
    assert shop.reconciler.figures.failing == 250 - 50  # as the last run found them


async def test_one_order_that_no_peer_answers_for_does_not_keep_the_next_waiting(
    shop: Shop,
) -> None:
    for request_id in ("r-1", "r-2"):
        await shop.buy(1, request_id)
    shop.aftermath.settled.clear()
    shop.now.pass_s(61)
    shop.wire.fail("commit", Fault.REQUEST_LOST)
    with pytest.raises(Unavailable):
        await shop.reconciler.run()
    await shop.reconciler.run()
    assert [known.settled for known in shop.orders.known.values()] == [False, True]


async def test_what_cannot_be_settled_is_tried_less_and_less_often_but_never_given_up(
    shop: Shop,
) -> None:
    await lost_by_inventory(shop, 1)
    shop.now.pass_s(61)
    tries, waits = 0, list[int]()
    for second in range(0, 4_000, 10):
        await shop.reconciler.run()
        if shop.reconciler.figures.stuck > tries:
            tries += 1
            waits.append(second)
        shop.now.pass_s(10)
    pauses = [after - before for before, after in pairwise(waits)]
    assert pauses == [120, 180, 300, 540, 660, 660, 660, 660]


async def test_what_could_not_be_settled_is_settled_once_it_can_be(shop: Shop) -> None:
    await killed_after_deciding(shop)
    lost = shop.stock.reservations.copy()
    shop.stock.reservations.clear()
    await reconcile_later(shop)
    assert shop.reconciler.figures.stuck == 1
    shop.stock.reservations.update(lost)
    for _ in range(2):
        await reconcile_later(shop)
    assert shop.checkout().settled
    assert shop.lamps == (3, 0, 2)
    await shop.reconciler.run()
    assert shop.reconciler.figures.failing == 0


async def test_held_reservations_are_reviewed_page_by_page_until_all_had_their_turn(
    shop: Shop,
) -> None:
    """Say, because those of the first page belong to orders that cannot be settled."""
    shop.stock.shelves[LAMP].available = HELD_PAGE + 5
    for n in range(HELD_PAGE):
        await shop.buy(1, f"r-{n}")
    shop.aftermath.settled.clear()
    await shop.stock.reserve(f"{'9' * 24}-1", [OrderItem(LAMP, 5)])
    shop.now.pass_s(61)
    for known in shop.orders.known.values():
        await shop.orders.touch(known, ahead_s=600)
    assert shop.lamps == (0, HELD_PAGE + 5, 0)
    for released in (0, 5):
        await shop.reconciler.run()
        assert shop.lamps == (released, HELD_PAGE + 5 - released, 0)
    await shop.stock.reserve(f"{'0' * 24}-1", [OrderItem(LAMP, 5)])  # on the first page
    shop.now.pass_s(61)
    await shop.reconciler.run()
    assert shop.lamps == (5, HELD_PAGE, 0)


async def test_a_page_that_is_refused_is_followed_by_the_first(shop: Shop) -> None:
    shop.reconciler.next_held = "a token of an older Inventory"
    shop.wire.fail("held", Fault.REQUEST_LOST)
    with pytest.raises(Unavailable):
        await shop.reconciler.run()
    assert shop.reconciler.next_held == ""


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("step", ["unsettled", "save", "release", "held"])
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
