"""Natural batching: what is asked for during one round trip goes out together in the next.

Nothing waits for company: when no round trip is under way, the next one begins at once, with
what was asked for in the same turn of the event loop.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from contextvars import Context
from time import monotonic
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")

Run = Callable[[Collection[Key]], Awaitable[Mapping[Key, Answer]]]


class Batch(Generic[Key, Answer]):
    """Keys that go out in one round trip, and who waits for the answers."""

    __slots__ = ("_answers", "_ended", "_error", "_loop", "_waiting", "keys")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.keys: dict[Key, None] = {}  # in the order asked for, each once
        self._waiting: list[asyncio.Future[None]] = []
        self._answers: Mapping[Key, Answer] = {}
        self._error: BaseException | None = None
        self._ended = False

    async def answers(self) -> Mapping[Key, Answer]:
        """Return the answers to all keys of the batch. Raises what the round trip raised.

        Whoever gives up waiting leaves the round trip, and all others, alone.
        """
        if not self._ended:
            turn = self._loop.create_future()
            self._waiting.append(turn)
            await turn
        if self._error is not None:
            raise self._error
        return self._answers

    def end(self, answers: Mapping[Key, Answer], error: BaseException | None = None) -> None:
        """Give everybody the answers, or the error."""
        self._answers = answers
        self._error = error
        self._ended = True
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)
        self._waiting.clear()


class Batcher(Generic[Key, Answer]):
    """Gathers keys into round trips of at most ``at_most`` keys, one at a time.

    ``run`` makes a round trip. It belongs to no call: it has no deadline but its own, and ends
    whoever goes away. A key never joins a round trip that has begun: its answer is no older than
    the question. Behind a round trip that has taken longer than ``patience_s`` others begin, up to
    ``flights`` at once, so that one that hangs does not hold up all.
    """

    def __init__(
        self,
        run: Run[Key, Answer],
        at_most: int,
        *,
        patience_s: float = 0.05,
        flights: int = 4,
    ) -> None:
        self._run = run
        self._at_most = at_most
        self._patience_s = patience_s
        self._flights = flights
        self._waiting: deque[Batch[Key, Answer]] = deque()
        self._under_way: dict[asyncio.Task[None], float] = {}
        self._called = False
        self._watched = False

    async def ask(self, keys: Collection[Key]) -> Mapping[Key, Answer]:
        """Return the answers to these keys, perhaps among others."""
        return await self.join(keys).answers()

    def join(self, keys: Collection[Key]) -> Batch[Key, Answer]:
        """Add keys to the next round trip with room and return it. The keys stay together."""
        batch = self._waiting[-1] if self._waiting else None
        if batch is None or len(batch.keys) + len(keys) > self._at_most:
            batch = Batch(asyncio.get_running_loop())
            self._waiting.append(batch)
        for key in keys:
            batch.keys[key] = None
        if not self._called:
            if not self._under_way or (not self._watched and self._may_begin()):
                self._called = True
                asyncio.get_running_loop().call_soon(self._begin)
            elif not self._watched:
                self._watch()
        return batch

    async def drain(self) -> None:
        """Wait until all round trips are over."""
        while self._under_way or self._waiting:
            await asyncio.wait(self._under_way or [asyncio.create_task(asyncio.sleep(0))])

    def _may_begin(self) -> bool:
        under_way = self._under_way
        if not under_way:
            return True
        if len(under_way) >= self._flights:
            return False
        return monotonic() - max(under_way.values()) > self._patience_s

    def _begin(self) -> None:
        self._called = False
        if self._waiting and self._may_begin():
            batch = self._waiting.popleft()
            flight = asyncio.get_running_loop().create_task(
                self._fly(batch), context=self._context(batch)
            )
            self._under_way[flight] = monotonic()
            flight.add_done_callback(self._landed)
        if self._waiting:
            self._watch()

    def _context(self, _batch: Batch[Key, Answer]) -> Context:
        """Return what a round trip takes with it: nothing of whoever asked."""
        return Context()

    def _watch(self) -> None:
        """See to what waits when patience has come to an end, though nobody else asks."""
        if not self._watched and len(self._under_way) < self._flights:
            self._watched = True
            asyncio.get_running_loop().call_later(self._patience_s, self._look_again)

    def _look_again(self) -> None:
        self._watched = False
        self._begin()

    async def _fly(self, batch: Batch[Key, Answer]) -> None:
        try:
            answers = await self._run(batch.keys)
        except asyncio.CancelledError:
            batch.end({}, ConnectionError("the round trip was given up"))
            raise
        except Exception as error:  # noqa: BLE001 (it belongs to those who asked)
            batch.end({}, error)
        else:
            batch.end(answers)

    def _landed(self, flight: asyncio.Task[None]) -> None:
        del self._under_way[flight]
        self._begin()
