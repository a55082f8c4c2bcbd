"""One connection to a Redis server, on which commands do not wait for each other's answers."""

import asyncio
from collections import deque
from typing import Any, Final, NamedTuple

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.common.redis.faults import kept_cancellations, lost_connections

_INCOMPLETE: Final = object()


class _Question(NamedTuple):
    answer: asyncio.Future[Any]
    patience: asyncio.TimerHandle


class Wire(asyncio.Protocol):
    """Sends commands in order and hands out their answers, which come in the same order.

    Who stops waiting for an answer disturbs nobody. A command that is not answered within
    ``timeout_s`` ends the connection: nothing that follows it would be answered either.
    """

    def __init__(self, connection: Any, timeout_s: float) -> None:
        # It has told the server who we are; from here on it only keeps the transport open.
        self._connection = connection
        self._transport = connection._writer.transport  # noqa: SLF001 (there is no other way)
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._questions: deque[_Question] = deque()
        self._answers = hiredis.Reader(replyError=ResponseError, notEnoughData=_INCOMPLETE)
        self._transport.set_protocol(self)

    @property
    def lost(self) -> bool:
        """Whether nothing can be asked any more."""
        closing: bool = self._transport.is_closing()
        return closing

    def ask(self, command: bytes) -> asyncio.Future[Any]:
        """Send a packed command and return its answer to be.

        It fails with a RedisError: ResponseError, ConnectionError or TimeoutError.
        """
        answer: asyncio.Future[Any] = self._loop.create_future()
        try:
            self._transport.write(command)
        except RuntimeError as error:  # uvloop's, when the connection was just lost
            answer.set_exception(RedisConnectionError(str(error)))
            return answer
        patience = self._loop.call_later(self._timeout_s, self._give_up)
        self._questions.append(_Question(answer, patience))
        return answer

    def data_received(self, data: bytes) -> None:
        """Hand out the answers that are complete."""
        try:
            self._answers.feed(data)
            while (answer := self._answers.gets()) is not _INCOMPLETE:
                self._hand_out(answer)
        except (hiredis.ProtocolError, IndexError) as error:
            self._end(RedisConnectionError(f"the server does not speak Redis: {error!r}"))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell everybody who waits."""
        self._end(RedisConnectionError(f"the connection was lost: {error!r}"))

    async def close(self) -> None:
        """Close the connection."""
        self._end(RedisConnectionError("the connection was closed"))
        await self._connection.disconnect(nowait=True)

    def _hand_out(self, answer: Any) -> None:
        question = self._questions.popleft()
        question.patience.cancel()
        if question.answer.done():
            return
        if isinstance(answer, ResponseError):
            question.answer.set_exception(answer)
        else:
            question.answer.set_result(answer)

    def _give_up(self) -> None:
        self._end(RedisTimeoutError(f"no answer within {self._timeout_s:g} s"))

    def _end(self, error: Exception) -> None:
        self._transport.abort()
        while self._questions:
            question = self._questions.popleft()
            question.patience.cancel()
            if not question.answer.done():
                question.answer.set_exception(error)


async def open_wire(connection: Any, timeout_s: float) -> Wire:
    """Connect a client's connection and return it as a wire.

    Raises RedisError, OSError or TimeoutError, within the bounds of the connection.
    """
    with lost_connections():
        try:
            with kept_cancellations():
                await connection.connect()
            return Wire(connection, timeout_s)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
