"""What is counted of checkouts and of the reconciler, and how it reads when scraped."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from services.common.background import BackgroundTasks
from services.common.errors import Unavailable
from services.order.counted import CountedOrders
from services.order.figures import CheckoutFigures
from services.order.metrics import OrderMetrics
from services.order.model import Order, OrderItem, OrderStatus, RejectReason
from services.order.settlement import Settlement
from tests.unit.order.fakes import ANNA, DESK, LAMP, ROOT, Fault, Shop
from tests.unit.pages import Page, page_of


@dataclass
class Counted:
    """A shop whose orders are counted."""

    shop: Shop
    figures: CheckoutFigures

    def __post_init__(self) -> None:
        orders = CountedOrders(self.shop.orders, self.figures)
        self.usecases = replace(self.shop.usecases, orders=orders)
        self.settlement = Settlement(orders, self.shop.stock)
        self.reconciler = replace(self.shop.reconciler, orders=orders, settlement=self.settlement)

    async def buy(self, quantity: int = 1, request_id: str = "r-1") -> Order:
        items = [OrderItem(LAMP, quantity)]
        return await self.usecases.create_order(ANNA, request_id, items)

    async def settle(self) -> None:
        await self.shop.aftermath.run(self.settlement)

    async def reconcile_later(self) -> None:
        self.shop.now.pass_s(61)
        await self.reconciler.run()

    @property
    def page(self) -> Page:
        background = BackgroundTasks(at_most=0)
        return page_of(OrderMetrics(self.figures, self.reconciler.figures, background, 60))

    def funnel(self) -> dict[str, float]:
        """What was counted of checkouts, without what did not happen."""
        page = self.page
        names = ("begun", "repeated", "given_up", "settled", "overtaken")
        counts = {name: page.value(f"shop_checkout_{name}_total") for name in names}
        return {name: count for name, count in counts.items() if count}

    def moves(self) -> dict[tuple[str, str], float]:
        """What orders became, and why, without what none became."""
        return {
            (s.labels["status"], s.labels["reason"]): s.value
            for s in self.page.samples
            if s.name == "shop_order_moves_total" and s.value
        }

    def reconciled(self) -> dict[str, float]:
        """What the reconciler did with checkouts, without what it did not."""
        counts = self.page.by("result", "shop_reconciler_checkouts_total")
        return {result: count for result, count in counts.items() if count}


@pytest.fixture
def counted(shop: Shop) -> Counted:
    return Counted(shop, CheckoutFigures())


async def test_a_sale_is_a_checkout_begun_confirmed_and_settled(counted: Counted) -> None:
    await counted.buy()
    assert counted.funnel() == {"begun": 1}
    await counted.settle()
    assert counted.funnel() == {"begun": 1, "settled": 1}
    assert counted.moves() == {("CONFIRMED", ""): 1}


async def test_a_refusal_is_counted_by_its_reason(counted: Counted) -> None:
    await counted.buy(6)
    assert counted.moves() == {("REJECTED", "INSUFFICIENT_STOCK"): 1}


async def test_a_request_id_that_is_known_begins_no_checkout(counted: Counted) -> None:
    await counted.buy()
    await counted.buy()
    assert counted.funnel() == {"begun": 1, "repeated": 1}
    assert counted.moves() == {("CONFIRMED", ""): 1}


async def test_what_becomes_of_an_order_later_is_counted(counted: Counted) -> None:
    first, second = await counted.buy(1, "r-1"), await counted.buy(1, "r-2")
    await counted.usecases.cancel_order(ANNA, first.order_id)
    await counted.usecases.update_order_status(ROOT, second.order_id, OrderStatus.SHIPPED)
    await counted.usecases.update_order_status(ROOT, second.order_id, OrderStatus.DELIVERED)
    assert counted.moves() == {
        ("CONFIRMED", ""): 2,
        ("CANCELLED", ""): 1,
        ("SHIPPED", ""): 1,
        ("DELIVERED", ""): 1,
    }


async def test_an_attempt_whose_outcome_is_open_is_counted_as_given_up(counted: Counted) -> None:
    counted.shop.wire.fail("reserve", Fault.ANSWER_LOST)
    with pytest.raises(Unavailable):
        await counted.buy()
    await counted.settle()
    assert counted.funnel() == {"begun": 1, "given_up": 1}


async def test_changes_that_came_too_late_are_counted(counted: Counted) -> None:
    async def cancel() -> None:
        order_id = counted.shop.checkout().order.order_id
        await counted.usecases.cancel_order(ANNA, order_id)

    counted.shop.wire.meanwhile("save", cancel)
    await counted.buy()
    assert counted.funnel() == {"begun": 1, "overtaken": 1}
    await counted.settle()
    assert counted.moves() == {("CANCELLED", ""): 1}


async def test_all_that_an_order_may_become_is_there_from_the_beginning(counted: Counted) -> None:
    found = {
        (s.labels["status"], s.labels["reason"]): s.value
        for s in counted.page.samples
        if s.name == "shop_order_moves_total"
    }
    refusals = {("REJECTED", reason.value) for reason in RejectReason}
    others = {(status, "") for status in ("CONFIRMED", "CANCELLED", "SHIPPED", "DELIVERED")}
    assert found == dict.fromkeys(refusals | others, 0)


async def test_work_after_answers_is_told_and_so_is_what_found_no_place(shop: Shop) -> None:
    background, ended = BackgroundTasks(at_most=1), asyncio.Event()
    metrics = OrderMetrics(CheckoutFigures(), shop.reconciler.figures, background, 60)

    async def work() -> None:
        await ended.wait()

    background.start("first", work())
    background.start("second", work())
    page = page_of(metrics)
    assert page.value("shop_background_tasks") == 1
    assert page.value("shop_background_refused_total") == 1
    ended.set()
    await background.drain(timeout_s=5)


async def test_a_run_that_finds_nothing_is_a_run(counted: Counted) -> None:
    await counted.reconcile_later()
    page = counted.page
    assert page.by("result", "shop_reconciler_runs_total") == {"done": 1, "failed": 0}
    assert page.value("shop_reconciler_found") == 0
    assert page.value("shop_reconciler_oldest_seconds") == 0
    assert page.value("shop_reconciler_age_seconds") == 60
    assert 0 < page.value("shop_reconciler_seconds_total") < 60


async def test_a_decided_checkout_that_the_reconciler_settles_is_finished(
    counted: Counted,
) -> None:
    await counted.buy()
    counted.shop.aftermath.settled.clear()
    await counted.reconcile_later()
    assert counted.reconciled() == {"finished": 1}
    assert counted.funnel() == {"begun": 1, "settled": 1}


async def test_a_checkout_that_the_reconciler_rejects_is_undone(counted: Counted) -> None:
    counted.shop.wire.fail("save", Fault.REQUEST_LOST)
    with pytest.raises(Unavailable):
        await counted.buy()
    counted.shop.aftermath.given_up.clear()
    await counted.reconcile_later()
    assert counted.reconciled() == {"undone": 1}
    assert counted.moves() == {("REJECTED", "ABANDONED"): 1}


async def test_a_checkout_that_cannot_be_reconciled_is_stuck_and_stays_in_sight(
    counted: Counted,
) -> None:
    await counted.buy()
    counted.shop.aftermath.settled.clear()
    counted.shop.stock.reservations.clear()
    seen = []
    for _ in range(4):
        await counted.reconcile_later()
        page = counted.page
        seen.append(
            (
                counted.reconciled(),
                page.value("shop_reconciler_found"),
                page.value("shop_reconciler_failing"),
            )
        )
    once, twice = {"stuck": 1}, {"stuck": 2}
    assert seen == [(once, 1, 0), (once, 0, 1), (twice, 1, 1), (twice, 0, 1)]
    assert counted.page.by("result", "shop_reconciler_runs_total") == {"done": 4, "failed": 0}


async def test_how_long_the_oldest_checkout_was_left_alone_is_told(counted: Counted) -> None:
    for request_id in ("r-1", "r-2"):
        await counted.buy(1, request_id)
        counted.shop.now.pass_s(30)
    counted.shop.aftermath.settled.clear()
    await counted.reconcile_later()
    assert counted.page.value("shop_reconciler_found") == 2
    assert 121 <= counted.page.value("shop_reconciler_oldest_seconds") < 122


async def test_a_run_that_is_broken_off_has_failed(counted: Counted) -> None:
    counted.shop.wire.fail("held", Fault.REQUEST_LOST)
    with pytest.raises(Unavailable):
        await counted.reconcile_later()
    assert counted.page.by("result", "shop_reconciler_runs_total") == {"done": 0, "failed": 1}


async def test_orphaned_reservations_that_are_released_are_counted(counted: Counted) -> None:
    await counted.shop.stock.reserve(f"{'9' * 24}-1", [OrderItem(DESK, 1)])
    await counted.reconcile_later()
    assert counted.page.value("shop_reconciler_released_total") == 1


async def test_reads_pass_uncounted(counted: Counted) -> None:
    order = await counted.buy()
    orders, behind = counted.usecases.orders, counted.shop.orders
    counts = counted.page.samples
    user_id = order.user_id
    assert await orders.get(order.order_id) == await behind.get(order.order_id)
    assert (await orders.newest_of_users([user_id]))[user_id].value.items == (order,)
    assert (await orders.page_of_user(user_id, 5, "")).value.items == (order,)
    unsettled = await orders.unsettled(0, 5)
    assert unsettled.checkouts == (await behind.unsettled(0, 5)).checkouts != []
    assert counted.page.samples == counts
