"""Checkouts, cancellations, crashes and repairs in any order, with anything lost on the way."""

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from services.common.background import BackgroundTasks
from services.common.errors import DomainError
from services.order.model import OrderItem, OrderStatus
from services.order.reconciler import Reconciler
from services.order.settlement import BackgroundAftermath, Settlement
from services.order.usecases import OrderUseCases
from tests.unit.order.fakes import (
    ANNA,
    DESK,
    LAMP,
    ROOT,
    FakeClock,
    FakeCustomers,
    FakeOrders,
    FakeStock,
    Fault,
    Wire,
)

INITIAL = {LAMP: 3, DESK: 2}
BASKETS = {
    "r-0": [OrderItem(LAMP, 1)],
    "r-1": [OrderItem(LAMP, 2), OrderItem(DESK, 1)],
    "r-2": [OrderItem(DESK, 2)],
}


class Act(Enum):
    """What somebody may do."""

    BUY = auto()
    BUY_AND_GO_AWAY = auto()
    CANCEL = auto()
    SHIP = auto()
    RECONCILE = auto()


@dataclass(frozen=True)
class Step:
    """Somebody does something about one order, some turns after the step before."""

    act: Act
    request_id: str
    turns_before: int


class RoughWire(Wire):
    """Each crossing takes the next number of turns, and the next fault; later ones are smooth."""

    def __init__(self, turns: Iterable[int], faults: Iterable[Fault | None]) -> None:
        super().__init__()
        self._turns = iter(turns)
        self._rough = iter(faults)

    def fault(self, step: str) -> Fault | None:
        return next(self._rough, None)

    async def travel(self) -> None:
        await turns(next(self._turns, 0))

    async def travel_far(self) -> None:
        await turns(4 * next(self._turns, 0))

    def smoothen(self) -> None:
        self._turns, self._rough = iter(()), iter(())


async def turns(count: int) -> None:
    """Let everybody else go on, so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


class Story:
    """One shop, what is going on in it, and what its customers were told."""

    def __init__(self, wire: RoughWire, places: int) -> None:
        now = FakeClock()
        self.wire = wire
        self.orders = FakeOrders(wire, now)
        self.stock = FakeStock(wire, now)
        for product_id, pieces in INITIAL.items():
            self.stock.shelves[product_id].available = pieces
        settlement = Settlement(self.orders, self.stock)
        self.background = BackgroundTasks(places)
        self.reconciler = Reconciler(self.orders, self.stock, settlement, 0, now)
        self.usecases = OrderUseCases(
            self.orders,
            self.stock,
            FakeCustomers(wire),
            BackgroundAftermath(settlement, self.background),
            now,
        )
        self.told_sold: set[str] = set()
        self.told_cancelled: set[str] = set()
        self.maybe_cancelled: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def play(self, steps: Iterable[Step]) -> None:
        for step in steps:
            await turns(step.turns_before)
            if step.act is Act.BUY:
                self._begin(self._buy(step.request_id))
            elif step.act is Act.BUY_AND_GO_AWAY:
                self._begin(self._buy_and_go_away(step))
            elif step.act is Act.RECONCILE:
                self._begin(self.reconciler.run())
            else:
                self._begin(self._move(step))
        await asyncio.gather(*self._tasks)
        await self.background.drain(timeout_s=10)
        await self.wire.late_arrivals()

    async def come_to_rest(self) -> None:
        """Reconcile until there is nothing left to do."""
        self.wire.smoothen()
        for _ in range(3):
            await self.reconciler.run()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(_tolerant(work)))

    async def _buy(self, request_id: str) -> None:
        order = await self.usecases.create_order(ANNA, request_id, BASKETS[request_id])
        assert order.status is not OrderStatus.PENDING
        if order.total is not None:
            self.told_sold.add(order.order_id)

    async def _buy_and_go_away(self, step: Step) -> None:
        call = asyncio.create_task(self._buy(step.request_id))
        await turns(1 + step.turns_before)
        call.cancel()
        await asyncio.wait([call])
        if not call.cancelled():
            call.result()

    async def _move(self, step: Step) -> None:
        for known in list(self.orders.known.values()):
            if known.request_id == step.request_id:
                order_id = known.order.order_id
                if step.act is Act.SHIP:
                    await self.usecases.update_order_status(ROOT, order_id, OrderStatus.SHIPPED)
                else:
                    self.maybe_cancelled.add(order_id)
                    await self.usecases.cancel_order(ANNA, order_id)
                    self.told_cancelled.add(order_id)


async def _tolerant(work: Coroutine[Any, Any, None]) -> None:
    """What the shop may answer in trouble is no failure of the test; everything else is."""
    with suppress(DomainError):
        await work


def check(story: Story) -> None:
    """Every piece is on its shelf or sold, and sold is what the orders say."""
    checkouts = list(story.orders.known.values())
    assert len({known.request_id for known in checkouts}) == len(checkouts)
    for known in checkouts:
        assert not known.pending
        assert known.settled
        if known.order.order_id in story.told_cancelled:
            assert known.order.status is OrderStatus.CANCELLED
        elif known.order.order_id in story.told_sold - story.maybe_cancelled:
            assert known.sold
    for product_id, initial in INITIAL.items():
        shelf = story.stock.shelves[product_id]
        ordered = sum(
            item.quantity
            for known in checkouts
            if known.sold
            for item in known.items
            if item.product_id == product_id
        )
        assert not shelf.oversold
        assert shelf.counts == (initial - ordered, 0, ordered)


steps = st.builds(Step, st.sampled_from(Act), st.sampled_from(sorted(BASKETS)), st.integers(0, 12))
faults = st.sampled_from([*[None] * 9, *Fault])


@pytest.mark.timeout(900)  # it computes for seconds, and may have a small part of a core
@settings(max_examples=10 * settings().max_examples)
@given(
    st.lists(steps, min_size=1, max_size=10),
    st.integers(0, 2**32),
    st.lists(faults, max_size=40),
    st.sampled_from([100, 2, 1, 0]),
)
def test_whatever_happens_every_piece_is_available_or_sold_in_the_end(
    script: list[Step], seed: int, troubles: list[Fault | None], places: int
) -> None:
    async def tell() -> None:
        delays = iter(partial(Random(seed).randrange, 5), None)  # noqa: S311 (a story, no secret)
        story = Story(RoughWire(delays, troubles), places)
        await story.play(script)
        await story.come_to_rest()
        check(story)

    with capture_logs():
        asyncio.run(tell())
