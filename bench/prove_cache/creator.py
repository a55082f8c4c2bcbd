"""Products that come and go, asked for before they exist.

The service gives the ids, but they are BSON ObjectIds: a second, five bytes that are the
process's own, and a counter. Who alone creates products knows the next one, and can make the
caches remember that it does not exist just before it does.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shop.common.v1.money_pb2 import Money
from shop.inventory.v1 import inventory_pb2

from bench.prove_cache import questions
from bench.prove_cache.calls import bearer
from bench.prove_cache.history import GONE
from bench.prove_cache.questions import CALL_TIMEOUT_S, Question
from bench.prove_cache.twins import TWINS
from bench.prove_cache.writers import Send, Writer, update

_COUNTER_VALUES: Final = 1 << 24
_UPDATES: Final = 2


def next_ids(last_id: str, now: float) -> Sequence[str]:
    """Return the ids that a process may give next, this second or the one after."""
    process = last_id[8:18]
    counter = (int(last_id[18:], 16) + 1) % _COUNTER_VALUES
    return [f"{int(now) + later:08x}{process}{counter:06x}" for later in (0, 1)]


@dataclass(slots=True)
class Creator:
    """Creates, changes and deletes one product after another; there must be one creator."""

    writer: Writer
    last_ids: dict[int, str] = field(default_factory=dict)
    begun: int = 0

    async def run(self) -> None:
        """Go on until the end."""
        while not self.writer.stopping:
            await self._one_life(self.writer.chance.randrange(TWINS))
            await self.writer.pause()

    async def _one_life(self, twin: int) -> None:
        foreseen = await self._ask_in_vain(twin)
        product_id = await self._create(twin)
        if product_id is None:
            return
        self.writer.desk.history.foreseen += product_id in foreseen
        question = _question(product_id)
        for number in range(_UPDATES):
            await self._change(question, update(product_id, f"Text {number}", self._metadata))
        await self._delete(question, product_id)

    async def _ask_in_vain(self, twin: int) -> Sequence[str]:
        last_id = self.last_ids.get(twin)
        foreseen = [] if last_id is None else next_ids(last_id, time.time())
        for product_id in foreseen:
            for either in range(TWINS):
                await self.writer.desk.read(_question(product_id), either)
        return foreseen

    async def _create(self, twin: int) -> str | None:
        self.begun += 1
        request = inventory_pb2.CreateProductRequest(product=draft(f"passing-{self.begun}"))
        start = time.monotonic()
        answer = await self._once(
            twin,
            lambda twin: twin.inventory.CreateProduct(
                request, timeout=CALL_TIMEOUT_S, metadata=self._metadata
            ),
        )
        if answer is None:  # perhaps it exists, but nobody knows its name
            self.last_ids.pop(twin, None)
            return None
        product_id: str = answer.product.product_id
        self.last_ids[twin] = product_id
        question = _question(product_id)
        self.writer.note(question, answer.product.version, start, time.monotonic(), twin)
        await self.writer.look(question, twin)
        return product_id

    async def _change(self, question: Question, send: Send) -> None:
        twin = self.writer.chance.randrange(TWINS)
        start = time.monotonic()
        answer = await self._once(twin, send)
        if answer is not None:
            self.writer.note(question, answer.product.version, start, time.monotonic(), twin)
            await self.writer.look(question, twin)

    async def _delete(self, question: Question, product_id: str) -> None:
        request = inventory_pb2.DeleteProductRequest(product_id=product_id)
        twin = self.writer.chance.randrange(TWINS)
        start = time.monotonic()
        answer = await self._once(
            twin,
            lambda twin: twin.inventory.DeleteProduct(
                request, timeout=CALL_TIMEOUT_S, metadata=self._metadata
            ),
        )
        end = None if answer is None else time.monotonic()
        self.writer.note(question, GONE, start, end, twin)
        if answer is not None:
            await self.writer.look(question, twin)

    @property
    def _metadata(self) -> Any:
        return bearer(self.writer.desk.plan.admin)

    async def _once(self, twin: int, send: Send) -> Any:
        return await self.writer.desk.once(send(self.writer.desk.twins[twin]))


def _question(product_id: str) -> Question:
    return questions.product(questions.version(product_id))


def draft(sku: str, stock: int = 10) -> inventory_pb2.Product:
    """Return a product to create."""
    return inventory_pb2.Product(
        sku=sku,
        name="Kettle",
        category="kitchen",
        price=Money(currency_code="EUR", minor_units=1),
        stock=stock,
    )
