"""Transactions that are over in time, for MongoDB as well.

The drivers' own ``with_transaction`` will not do. Motor's repeats for two minutes whatever the
time left and without a pause, and with either driver no abort gets through once the time is
up: MongoDB would keep the documents locked for a minute.
"""

import asyncio
import inspect
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import pymongo
import structlog
from pymongo.errors import ExecutionTimeout, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

Result = TypeVar("Result")

_TRANSIENT: Final = "TransientTransactionError"
_OUTCOME_UNKNOWN: Final = "UnknownTransactionCommitResult"
_FIRST_PAUSE_S: Final = 0.005
_MAX_PAUSE_S: Final = 0.1
_GRACE_S: Final = 0.2
# What a transaction read is what a majority has once its commit is acknowledged by a majority,
# also when it wrote nothing: MongoDB then writes an empty entry and waits for that.
_MAJORITY_READ: Final = ReadConcern("majority")

log = structlog.get_logger()


class Session(Protocol):
    """A client session, as far as both drivers agree."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is begun and neither committed nor aborted."""

    def start_transaction(self, *, read_concern: ReadConcern, write_concern: WriteConcern) -> Any:
        """Begin a transaction, at once or when awaited."""

    async def commit_transaction(self) -> None:
        """Make all that was done hold."""

    async def abort_transaction(self) -> None:
        """Undo all that was done."""

    async def end_session(self) -> None:
        """Give the session back, and abort the transaction if one is begun."""


Work = Callable[[Session], Awaitable[Result]]


class Transactions:
    """Runs transactions of one client, and sees to it that none stays open."""

    def __init__(self, client: Any, write_concern: WriteConcern) -> None:
        self._client = client
        self._write_concern = write_concern
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, work: Work[Result], within_s: float) -> Result:
        """Return what ``work`` returns, repeating it while MongoDB asks for that.

        ``work`` must wait for nothing but MongoDB. Raises ``ExecutionTimeout`` when the time
        is up. A caller who goes away leaves the transaction to end by itself: with Motor, an
        operation goes on in its thread however often it is cancelled, and a session must not
        be aborted under it.
        """
        end = asyncio.get_running_loop().time() + within_s
        transaction = _Transaction(self._client, self._write_concern, end)
        running = asyncio.create_task(transaction.run(work))
        self._running.add(running)
        running.add_done_callback(self._forget)
        try:
            async with asyncio.timeout_at(end):
                return await asyncio.shield(running)
        except TimeoutError:
            raise ExecutionTimeout(f"no transaction within {within_s:.3f} s") from None
        finally:
            transaction.wanted = False

    def _forget(self, ended: asyncio.Task[Any]) -> None:
        self._running.discard(ended)
        if not ended.cancelled():
            ended.exception()  # seen, even if the caller has gone

    async def drain(self) -> None:
        """Wait until nothing is open."""
        await asyncio.gather(*self._running, return_exceptions=True)


class _UnwantedError(Exception):
    """Nobody waits for the transaction any more."""


@dataclass(slots=True)
class _Transaction:
    client: Any
    write_concern: WriteConcern
    end: float
    wanted: bool = True
    commit_open: bool = False

    async def run(self, work: Work[Result]) -> Result:
        session: Session = await settled(self.client.start_session())
        try:
            # The driver's operations end first; this is for work that waits for anything else.
            async with asyncio.timeout_at(self.end + _GRACE_S):
                with pymongo.timeout(self.end - _now()):
                    return await self._repeat(session, work)
        finally:
            # With a time of its own, for there may be none left.
            await self._close(session)

    async def _repeat(self, session: Session, work: Work[Result]) -> Result:
        for attempt in itertools.count():
            try:
                return await self._attempt(session, work)
            except PyMongoError as error:
                if not error.has_error_label(_TRANSIENT) or not self._goes_on():
                    raise
            if session.in_transaction:
                await session.abort_transaction()
            await _pause(attempt)
        raise AssertionError("unreachable")

    async def _attempt(self, session: Session, work: Work[Result]) -> Result:
        await settled(
            session.start_transaction(read_concern=_MAJORITY_READ, write_concern=self.write_concern)
        )
        result = await work(session)
        if not self.wanted:
            raise _UnwantedError
        self.commit_open = True
        await self._commit(session)
        self.commit_open = False
        return result

    async def _commit(self, session: Session) -> None:
        for attempt in itertools.count():
            try:
                await session.commit_transaction()
            except PyMongoError as error:
                self.commit_open = error.has_error_label(_OUTCOME_UNKNOWN)
                if not self.commit_open or not self._goes_on():
                    raise
            else:
                return
            await _pause(attempt)

    def _goes_on(self) -> bool:
        return self.wanted and _now() < self.end

    async def _close(self, session: Session) -> None:
        """Commit what perhaps was not, or abort what was not to be."""
        try:
            if self.commit_open:
                await session.commit_transaction()
        except PyMongoError as error:
            log.warning("transaction left to MongoDB to end", error=repr(error))
        finally:
            await session.end_session()


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _pause(attempt: int) -> None:
    """Sleep for a random time that grows, so that rivals do not meet again and again."""
    longest_s = min(_FIRST_PAUSE_S * 1.5 ** min(attempt, 20), _MAX_PAUSE_S)
    await asyncio.sleep(random.uniform(0, longest_s))  # noqa: S311 (no secret)


async def settled(value: Any) -> Any:
    """Return a result that one driver gives at once and the other awaits."""
    return await value if inspect.isawaitable(value) else value
