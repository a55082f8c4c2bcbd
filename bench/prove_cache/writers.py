"""Writers: each changes one thing again and again, and looks at it the moment it has."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2
from shop.user.v1 import user_pb2

from bench.prove_cache import questions
from bench.prove_cache.calls import Desk, bearer
from bench.prove_cache.history import Write
from bench.prove_cache.plan import Customer, Stocked
from bench.prove_cache.questions import CALL_TIMEOUT_S, Question, Twin, View
from bench.prove_cache.twins import TWINS

FULL_NAME: Final = "Number"
_MEAN_PAUSES_S: Final = (0.02, 0.1, 0.5)
"""What is written often is read just after a write, what is written rarely stays old for long."""
_MOST_PIECES: Final = 10_000
_SEVERAL: Final = 4
_FRESHNESS: Final = ("", "no-near", "no-cache")
_FRESHNESS_WEIGHTS: Final = (80, 12, 8)

Send = Callable[[Twin], Awaitable[Any]]


@dataclass(slots=True)
class Writer:
    """What all writers do. A write goes to either twin; the first look is at the other."""

    desk: Desk
    chance: Random
    number: int = 0
    """Which of its kind it is."""

    @property
    def stopping(self) -> bool:
        """Whether it is time to end."""
        return self.desk.stopping.is_set()

    async def until_done(self, send: Send) -> tuple[Any, int]:
        """Repeat a call, of either twin, until it succeeds; return the answer and the twin.

        The answer is None when the run ends before.
        """
        while not self.stopping:
            twin = self.chance.randrange(TWINS)
            answer = await self.desk.once(send(self.desk.twins[twin]))
            if answer is not None:
                return answer, twin
        return None, 0

    async def numbered(self, question: Question, number: int, send: Send) -> None:
        """Do what may be repeated and gives the thing the rank ``number``."""
        start = time.monotonic()
        answer, twin = await self.until_done(send)
        if answer is None:
            self.note(question, number, start, None)
            return
        self.note(question, number, start, time.monotonic(), twin)
        await self.look(question, twin)

    def note(
        self, question: Question, rank: int, start: float, end: float | None, twin: int = 0
    ) -> None:
        """Note a write, and the twin that took it."""
        by = f"{question.service}-{twin}"
        self.desk.history.writes.append(Write(question.target, rank, start, end, by))

    async def look(self, question: Question, wrote: int) -> None:
        """Read what one twin has just written: at once, and more from the other than from it."""
        other = TWINS - 1 - wrote
        await asyncio.gather(
            self.desk.read(question, other),
            self.desk.read(question, wrote),
            self.desk.read(question, other, "no-near"),
            self.desk.read(question, other, self.chance.choice(_FRESHNESS)),
        )

    async def pause(self) -> None:
        """Let the caches fill again for a while."""
        mean_s = _MEAN_PAUSES_S[self.number % len(_MEAN_PAUSES_S)]
        await asyncio.sleep(self.chance.expovariate(1 / mean_s))


async def update_product(writer: Writer, product_id: str) -> None:
    """Keep changing a product; the answers say which version came of it."""
    question, metadata, number = (
        questions.product(questions.version(product_id)),
        bearer(writer.desk.plan.admin),
        0,
    )
    while not writer.stopping:
        number += 1
        start = time.monotonic()
        answer, twin = await writer.until_done(update(product_id, f"Text {number}", metadata))
        if answer is not None:
            writer.note(question, answer.product.version, start, time.monotonic(), twin)
            await writer.look(question, twin)
        await writer.pause()


def update(product_id: str, description: str, metadata: Any) -> Send:
    """Return how to change a product's description."""
    request = inventory_pb2.UpdateProductRequest(
        product=inventory_pb2.Product(product_id=product_id, description=description)
    )
    request.update_mask.paths.append("description")
    return lambda twin: twin.inventory.UpdateProduct(
        request, timeout=CALL_TIMEOUT_S, metadata=metadata
    )


async def reserve(writer: Writer, stocked: Stocked) -> None:
    """Keep reserving a piece of a product."""
    question, metadata, number = (
        questions.product(questions.sold(stocked)),
        bearer(writer.desk.plan.service),
        0,
    )
    while not writer.stopping:
        number += 1
        await writer.numbered(question, number, _reservation(stocked.product_id, number, metadata))
        await writer.pause()


def _reservation(product_id: str, number: int, metadata: Any) -> Send:
    request = inventory_pb2.ReserveStockRequest(
        reservation_id=f"{product_id}-{number}",
        items=[inventory_pb2.ReservationItem(product_id=product_id, quantity=1)],
    )
    return lambda twin: twin.inventory.ReserveStock(
        request, timeout=CALL_TIMEOUT_S, metadata=metadata
    )


async def rename(writer: Writer, customer: Customer) -> None:
    """Keep changing the full name of a customer."""
    question, number = questions.profile(customer.user_id), 0
    while not writer.stopping:
        number += 1
        await writer.numbered(question, number, _renaming(customer, number))
        await writer.pause()


def _renaming(customer: Customer, number: int) -> Send:
    request = user_pb2.UpdateUserProfileRequest(
        user=user_pb2.User(user_id=customer.user_id, full_name=f"{FULL_NAME} {number}")
    )
    request.update_mask.paths.append("full_name")
    return lambda twin: twin.users.UpdateUserProfile(
        request, timeout=CALL_TIMEOUT_S, metadata=bearer(customer.token)
    )


async def buy(writer: Writer, customer: Customer) -> None:
    """Buy one piece, then two, then three: each is a sale and a new order at once."""
    orders, stock = (
        questions.orders(customer.user_id),
        questions.product(questions.sold(customer.buys)),
    )
    number = sold = 0
    while not writer.stopping and number < _MOST_PIECES:
        number += 1
        start = time.monotonic()
        answer, twin = await writer.until_done(_order(customer, number))
        end = None if answer is None else time.monotonic()
        writer.note(orders, 2 * number, start, end, twin)
        if answer is None or answer.order.status == order_pb2.ORDER_STATUS_CONFIRMED:
            sold += number
            writer.note(stock, sold, start, end, twin)
        if answer is not None:
            await asyncio.gather(writer.look(orders, twin), writer.look(stock, twin))
        await writer.pause()


def _order(customer: Customer, number: int) -> Send:
    request = order_pb2.CreateOrderRequest(
        request_id=f"order-{number}",
        items=[order_pb2.OrderItem(product_id=customer.buys.product_id, quantity=number)],
    )
    return lambda twin: twin.orders.CreateOrder(
        request, timeout=CALL_TIMEOUT_S, metadata=bearer(customer.token)
    )


async def read_on(writer: Writer, readable: Sequence[Question], weights: Sequence[float]) -> None:
    """Keep reading whatever is there, each thing as often as its weight says."""
    while not writer.stopping:
        (question,) = writer.chance.choices(readable, weights)
        (asked,) = writer.chance.choices(_FRESHNESS, _FRESHNESS_WEIGHTS)
        await writer.desk.read(question, writer.chance.randrange(TWINS), asked)


async def read_several(writer: Writer, views: Sequence[View]) -> None:
    """Keep reading several products in one call.

    Never near: the answer says of all of them together where they are from.
    """
    while not writer.stopping:
        chosen = tuple(writer.chance.sample(views, _SEVERAL))
        twin = writer.chance.randrange(TWINS)
        await writer.desk.read(questions.products(chosen), twin, "no-near")
