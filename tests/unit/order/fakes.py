"""The ports of Order, in memory, behind a wire on which things go wrong when told to."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Final, TypeVar

from services.common.auth.principal import Principal, Role
from services.common.errors import DomainError, Unavailable
from services.common.money import Money
from services.common.paging import DEFAULT_PAGE_SIZE, Page, decode_time_token
from services.common.snapshot import Snapshot
from services.order.model import (
    AttemptGivenUpError,
    Checkout,
    Order,
    OrderItem,
    OrderLine,
    OrderNotFound,
    RejectedError,
    RejectReason,
    Unsettled,
    first_orders,
    page_scope,
)
from services.order.reconciler import Reconciler
from services.order.settlement import Settlement
from services.order.usecases import OrderUseCases

HELD_PAGE: Final = 100
LAMP, DESK, DOLLAR_BOOK = "a" * 24, "b" * 24, "c" * 24
ANNA: Final = Principal("1" * 24, Role.CUSTOMER)
BERT: Final = Principal("2" * 24, Role.CUSTOMER)
ROOT: Final = Principal("3" * 24, Role.ADMIN)
SERVICE: Final = Principal("user", Role.SERVICE)

Result = TypeVar("Result")


class FakeClock:
    """A time of day that is a millisecond later at each look."""

    def __init__(self) -> None:
        self._now = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now

    def pass_s(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class Fault(Enum):
    """How a request can fail so that its sender does not know what became of it."""

    REQUEST_LOST = auto()
    ANSWER_LOST = auto()
    REQUEST_LATE = auto()


class Wire:
    """What lies between the use cases and everything else. Each step crosses it and returns."""

    def __init__(self) -> None:
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._meanwhile: defaultdict[str, deque[Callable[[], Awaitable[object]]]]
        self._meanwhile = defaultdict(deque)
        self._late: set[asyncio.Task[None]] = set()
        self.crossings: Counter[str] = Counter()

    def fail(self, step: str, *faults: Fault) -> None:
        """Let the next crossings of this step fail so."""
        self._faults[step].extend(faults)

    def recover(self) -> None:
        """Let nothing fail any more."""
        self._faults.clear()

    def meanwhile(self, step: str, *others: Callable[[], Awaitable[object]]) -> None:
        """Let something else happen before each of the next crossings of this step."""
        self._meanwhile[step].extend(others)

    async def cross(self, step: str, effect: Callable[[], Result]) -> Result:
        """Return what the effect, at the other end, returns or raises."""
        self.crossings[step] += 1
        fault = self.fault(step)
        if fault is Fault.REQUEST_LATE:
            task = asyncio.create_task(self._arrive_late(effect))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        await self.travel()
        if self._meanwhile[step]:
            await self._meanwhile[step].popleft()()
        if fault in {Fault.REQUEST_LOST, Fault.REQUEST_LATE}:
            raise Unavailable(f"{step} was not answered")
        result = effect()
        await self.travel()
        if fault is Fault.ANSWER_LOST:
            raise Unavailable(f"{step} was not answered")
        return result

    async def late_arrivals(self) -> None:
        """Wait for the requests whose senders no longer do."""
        await asyncio.gather(*self._late)

    def fault(self, step: str) -> Fault | None:
        return self._faults[step].popleft() if self._faults[step] else None

    async def travel(self) -> None:
        """Take some time."""

    async def travel_far(self) -> None:
        """Take more time than the sender has."""
        await asyncio.sleep(0)

    async def _arrive_late(self, effect: Callable[[], object]) -> None:
        await self.travel_far()
        with suppress(DomainError, RejectedError, AttemptGivenUpError, StockRefusedError):
            effect()


class FakeOrders:
    """All orders; as in MongoDB, a save must follow the version that is stored."""

    def __init__(self, wire: Wire, now: Callable[[], datetime]) -> None:
        self._wire = wire
        self._now = now
        self.known: dict[str, Checkout] = {}
        self._touched: dict[str, datetime] = {}

    async def open(self, checkout: Checkout) -> Checkout:
        def effect() -> Checkout:
            for known in self.known.values():
                if (known.order.user_id, known.request_id) == (
                    checkout.order.user_id,
                    checkout.request_id,
                ):
                    return known
            self._store(checkout)
            return checkout

        return await self._wire.cross("open", effect)

    async def get(self, order_id: str) -> Checkout:
        def effect() -> Checkout:
            if order_id not in self.known:
                raise OrderNotFound(order_id)
            return self.known[order_id]

        return await self._wire.cross("get", effect)

    async def save(self, changed: Checkout) -> bool:
        def effect() -> bool:
            known = self.known.get(changed.order.order_id)
            if known is None or known.version != changed.version - 1:
                return False
            self._store(changed)
            return True

        return await self._wire.cross("save", effect)

    async def touch(self, checkout: Checkout, ahead_s: float = 0.0) -> None:
        def effect() -> None:
            order_id = checkout.order.order_id
            if self.known[order_id].version == checkout.version:
                self.known[order_id] = checkout
                self._touched[order_id] = self._now() + timedelta(seconds=ahead_s)

        await self._wire.cross("touch", effect)

    async def note(self, progress: Checkout) -> bool:
        return await self.save(progress)

    async def page_of_user(self, user_id: str, size: int, token: str) -> Snapshot[Page[Order]]:
        orders = [known.order for known in self.known.values() if known.order.user_id == user_id]
        orders.sort(key=_age, reverse=True)
        if token:
            last = decode_time_token(token, page_scope(user_id))
            orders = [order for order in orders if _age(order) < last]
        return Snapshot(first_orders(user_id, orders, size))

    async def newest_of_users(
        self, user_ids: Collection[str]
    ) -> Mapping[str, Snapshot[Page[Order]]]:
        return {
            user_id: await self.page_of_user(user_id, DEFAULT_PAGE_SIZE, "") for user_id in user_ids
        }

    async def unsettled(self, min_age_s: float, limit: int) -> Unsettled:
        def effect() -> Unsettled:
            now = self._now()
            before = now - timedelta(seconds=min_age_s)
            old = sorted(
                (time, order_id)
                for order_id, time in self._touched.items()
                if time < before and not self.known[order_id].settled
            )
            return Unsettled(
                [self.known[order_id] for _, order_id in old[:limit]],
                max(((now - time).total_seconds() for time, _ in old), default=0.0),
                sum(not known.settled and known.failures > 0 for known in self.known.values()),
            )

        return await self._wire.cross("unsettled", effect)

    def _store(self, checkout: Checkout) -> None:
        self.known[checkout.order.order_id] = checkout
        self._touched[checkout.order.order_id] = self._now()


def _age(order: Order) -> tuple[datetime, str]:
    return (order.create_time, order.order_id)


@dataclass
class Shelf:
    """A product: its price and its pieces, which are available, reserved or sold."""

    name: str
    price: Money
    available: int
    reserved: int = 0
    sold: int = 0
    oversold: bool = False

    def move(self, *, available: int = 0, reserved: int = 0, sold: int = 0) -> None:
        self.available += available
        self.reserved += reserved
        self.sold += sold
        self.oversold = self.oversold or min(self.counts) < 0

    @property
    def counts(self) -> tuple[int, int, int]:
        return (self.available, self.reserved, self.sold)


class ReservationState(Enum):
    HELD = auto()
    COMMITTED = auto()
    RELEASED = auto()


@dataclass
class FakeReservation:
    state: ReservationState
    items: list[OrderItem]
    create_time: datetime
    irrevocable: bool = False


class StockRefusedError(Exception):
    """Inventory refuses what nobody should ask of it."""


class FakeStock:
    """The stock, by the rules of the Inventory service."""

    def __init__(self, wire: Wire, now: Callable[[], datetime]) -> None:
        self._wire = wire
        self._now = now
        self.shelves = {
            LAMP: Shelf("Lamp", Money("EUR", 1999), available=5),
            DESK: Shelf("Desk", Money("EUR", 20000), available=3),
            DOLLAR_BOOK: Shelf("Book", Money("USD", 500), available=9),
        }
        self.reservations: dict[str, FakeReservation] = {}

    async def reserve(self, reservation_id: str, items: Sequence[OrderItem]) -> Sequence[OrderLine]:
        def effect() -> Sequence[OrderLine]:
            known = self.reservations.get(reservation_id)
            if known is None:
                lines = [self._line(item) for item in items]
                self._keep(reservation_id, ReservationState.HELD, list(items))
                for item in items:
                    self.shelves[item.product_id].move(
                        available=-item.quantity, reserved=item.quantity
                    )
                return lines
            if known.state is ReservationState.RELEASED:
                raise AttemptGivenUpError
            return [self._priced(item) for item in items]

        return await self._wire.cross("reserve", effect)

    async def commit(self, reservation_id: str, *, irrevocable: bool) -> None:
        def effect() -> None:
            known = self.reservations.get(reservation_id)
            if known is None or known.state is ReservationState.RELEASED:
                raise StockRefusedError(reservation_id)
            known.irrevocable |= irrevocable
            if known.state is ReservationState.HELD:
                known.state = ReservationState.COMMITTED
                for item in known.items:
                    self.shelves[item.product_id].move(reserved=-item.quantity, sold=item.quantity)

        await self._wire.cross("commit", effect)

    async def release(self, reservation_id: str) -> None:
        def effect() -> None:
            known = self.reservations.get(reservation_id)
            if known is None:
                self._keep(reservation_id, ReservationState.RELEASED, [])
                return
            for item in known.items:
                q, shelf = item.quantity, self.shelves[item.product_id]
                if known.state is ReservationState.HELD:
                    shelf.move(available=q, reserved=-q)
                elif known.state is ReservationState.COMMITTED:
                    shelf.move(available=q, sold=-q)
            known.state = ReservationState.RELEASED

        await self._wire.cross("release", effect)

    async def held(self, min_age_s: float, token: str) -> Page[str]:
        def effect() -> Page[str]:
            before = self._now() - timedelta(seconds=min_age_s)
            held = sorted(
                reservation_id
                for reservation_id, known in self.reservations.items()
                if known.state is ReservationState.HELD
                and known.create_time < before
                and reservation_id > token
            )
            more = len(held) > HELD_PAGE
            return Page(tuple(held[:HELD_PAGE]), held[HELD_PAGE - 1] if more else "")

        return await self._wire.cross("held", effect)

    def states(self) -> dict[str, str]:
        """How each reservation stands, by the number of its order's attempt."""
        return {
            reservation_id.partition("-")[2]: known.state.name
            for reservation_id, known in self.reservations.items()
        }

    def _keep(self, reservation_id: str, state: ReservationState, items: list[OrderItem]) -> None:
        self.reservations[reservation_id] = FakeReservation(state, items, self._now())

    def _line(self, item: OrderItem) -> OrderLine:
        if item.product_id not in self.shelves:
            raise RejectedError(RejectReason.PRODUCT_NOT_FOUND, "there is no such product")
        if self.shelves[item.product_id].available < item.quantity:
            raise RejectedError(RejectReason.INSUFFICIENT_STOCK, "too few are left")
        return self._priced(item)

    def _priced(self, item: OrderItem) -> OrderLine:
        shelf = self.shelves[item.product_id]
        return OrderLine(item.product_id, item.quantity, shelf.name, shelf.price)


class FakeCustomers:
    """Everybody may order, unless told otherwise."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.refused: dict[str, RejectReason] = {}

    async def confirm_active(self, user_id: str) -> None:
        def effect() -> None:
            if user_id in self.refused:
                raise RejectedError(self.refused[user_id], "they may not order")

        await self._wire.cross("confirm_active", effect)


@dataclass
class FakeAftermath:
    """Notes what is to be done after the answer; ``run`` does it."""

    settled: list[Checkout] = field(default_factory=list)
    given_up: list[Checkout] = field(default_factory=list)

    def settle(self, checkout: Checkout) -> None:
        self.settled.append(checkout)

    def give_up(self, checkout: Checkout) -> None:
        self.given_up.append(checkout)

    async def run(self, settlement: Settlement) -> None:
        for checkout in self.settled:
            await settlement.settle(checkout)
        for checkout in self.given_up:
            await settlement.give_up(checkout)
        self.settled.clear()
        self.given_up.clear()


class Shop:
    """The Order service round its fakes. Its reconciler takes up what is a minute old."""

    def __init__(self) -> None:
        self.now = FakeClock()
        self.wire = Wire()
        self.orders = FakeOrders(self.wire, self.now)
        self.stock = FakeStock(self.wire, self.now)
        self.customers = FakeCustomers(self.wire)
        self.aftermath = FakeAftermath()
        self.settlement = Settlement(self.orders, self.stock)
        self.usecases = OrderUseCases(
            self.orders, self.stock, self.customers, self.aftermath, self.now
        )
        self.reconciler = Reconciler(self.orders, self.stock, self.settlement, 60, self.now)

    async def buy(
        self, quantity: int = 1, request_id: str = "r-1", buyer: Principal = ANNA
    ) -> Order:
        """Order lamps."""
        return await self.usecases.create_order(buyer, request_id, [OrderItem(LAMP, quantity)])

    async def settle(self) -> None:
        """Do all that was left for after the answers."""
        await self.aftermath.run(self.settlement)

    def checkout(self) -> Checkout:
        """The only one there is."""
        (checkout,) = self.orders.known.values()
        return checkout

    @property
    def lamps(self) -> tuple[int, int, int]:
        """How many are available, reserved and sold; there were five."""
        return self.stock.shelves[LAMP].counts
