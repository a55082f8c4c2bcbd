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
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import pymongo
import structlog
from pymongo.errors import ExecutionTimeout, PyMongoError
from pymongo.write_concern import WriteConcern

Result = TypeVar("Result")

_TRANSIENT: Final = "TransientTransactionError"
_OUTCOME_UNKNOWN: Final = "UnknownTransactionCommitResult"
_FIRST_PAUSE_S: Final = 0.005
_MAX_PAUSE_S: Final = 0.1

log = structlog.get_logger()


class Session(Protocol):
    """A client session, as far as both drivers agree."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is begun and neither committed nor aborted."""

    def start_transaction(self, *, write_concern: WriteConcern) -> Any:
        """Begin a transaction, at once or when awaited."""

    async def commit_transaction(self) -> None:
        """Make all that was done hold."""

    async def abort_transaction(self) -> None:
        """Undo all that was done."""

    async def end_session(self) -> None:
        """Give the session back."""


Work = Callable[[Session], Awaitable[Result]]


class Transactions:
    """Runs transactions of one client, and sees to it that none stays open."""

    def __init__(self, client: Any, write_concern: WriteConcern) -> None:
        self._client = client
        self._write_concern = write_concern
        self._endings: set[asyncio.Task[None]] = set()

    async def run(self, work: Work[Result], within_s: float) -> Result:
        """Return what ``work`` returns, repeating it while MongoDB asks for that.

        Raises ``ExecutionTimeout`` when the time is up.
        """
        end = asyncio.get_running_loop().time() + within_s
        transaction = _Transaction(await settled(self._client.start_session()), self._write_concern)
        try:
            async with asyncio.timeout_at(end):
                with pymongo.timeout(within_s):
                    return await transaction.repeat(work, end)
        except TimeoutError:
            raise ExecutionTimeout(f"no transaction within {within_s:.3f} s") from None
        finally:
            # In a context of its own, which is free of the time that may be up.
            ending = asyncio.create_task(transaction.end(), context=Context())
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(end):
                    await asyncio.shield(ending)

    async def drain(self) -> None:
        """Wait until nothing is open, at most as long as one operation may take."""
        await asyncio.gather(*self._endings)


@dataclass(slots=True)
class _Transaction:
    session: Session
    write_concern: WriteConcern
    commit_open: bool = False

    async def repeat(self, work: Work[Result], end: float) -> Result:
        for attempt in itertools.count():
            try:
                return await self._attempt(work, end)
            except PyMongoError as error:
                if not error.has_error_label(_TRANSIENT) or _is_past(end):
                    raise
            if self.session.in_transaction:
                await self.session.abort_transaction()
            await _pause(attempt)
        raise AssertionError("unreachable")

    async def _attempt(self, work: Work[Result], end: float) -> Result:
        await settled(self.session.start_transaction(write_concern=self.write_concern))
        result = await work(self.session)
        self.commit_open = True
        await self._commit(end)
        self.commit_open = False
        return result

    async def _commit(self, end: float) -> None:
        for attempt in itertools.count():
            try:
                await self.session.commit_transaction()
            except PyMongoError as error:
                self.commit_open = error.has_error_label(_OUTCOME_UNKNOWN)
                if not self.commit_open or _is_past(end):
                    raise
            else:
                return
            await _pause(attempt)

    async def end(self) -> None:
        """Abort what was not to be committed, or commit what perhaps was not; never raises."""
        try:
            if self.session.in_transaction:
                await self.session.abort_transaction()
            elif self.commit_open:
                await self.session.commit_transaction()
        except PyMongoError as error:
            log.warning("transaction left to MongoDB to end", error=repr(error))
        await self.session.end_session()


def _is_past(end: float) -> bool:
    """Whether the time is up, for a driver may have swallowed the cancellation that says so."""
    return asyncio.get_running_loop().time() >= end


async def _pause(attempt: int) -> None:
    """Sleep for a random time that grows, so that rivals do not meet again and again."""
    longest_s = min(_FIRST_PAUSE_S * 1.5 ** min(attempt, 20), _MAX_PAUSE_S)
    await asyncio.sleep(random.uniform(0, longest_s))  # noqa: S311 (no secret)


async def settled(value: Any) -> Any:
    """Return a result that one driver gives at once and the other awaits."""
    return await value if inspect.isawaitable(value) else value
