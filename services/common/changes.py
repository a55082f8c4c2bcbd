"""What changed in a database, in batches, from any point that MongoDB still knows.

Asked for with plain commands, which both drivers have alike. Their own change streams hand out
single changes, each through a thread with Motor: ten times the work of a batch.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import pymongo
from bson import Int64, Timestamp
from pymongo.errors import OperationFailure, PyMongoError

from services.common.transaction import Session, settled
from services.common.undisturbed import seen

Document = dict[str, Any]

_BATCH_SIZE: Final = 1_000
_AWAIT_S: Final = 0.5
_NO_REPLICA_SET: Final = 40573
_HISTORY_LOST: Final = frozenset(
    {
        136,  # CappedPositionLost: the oplog has overtaken the reader
        260,  # InvalidResumeToken
        280,  # ChangeStreamFatalError: no such change, or of another history
        286,  # ChangeStreamHistoryLost: older than the oplog
        10334,  # BSONObjectTooLarge: a change that no answer can hold
    }
)


@dataclass(frozen=True, slots=True)
class Position:
    """A point between two changes: after ``token``, or where there is none, at ``time``.

    With a token, no change that matters lies between ``time`` and it.
    """

    time: Timestamp
    token: Document | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes in the order in which they were made, perhaps none, and the token after them."""

    changes: Sequence[Document]
    token: Document


class HistoryLost(Exception):
    """MongoDB cannot tell what changed since the position."""


class ChangesRefused(Exception):
    """MongoDB is no replica set and does not tell changes at all."""


class ChangeStream:
    """An open question for changes. One task at a time may ask."""

    def __init__(self, database: Any, session: Session, timeout_s: float) -> None:
        self._database = database
        self._session = session
        self._timeout_s = timeout_s
        self._cursor: Document = {}
        self._asking: asyncio.Task[Document] | None = None

    async def open(self, stages: Sequence[Document], position: Position) -> None:
        """Begin at the position. Raises ``HistoryLost``, ``ChangesRefused``, driver's errors."""
        start: Document = {"startAtOperationTime": position.time}
        if position.token is not None:
            start = {"resumeAfter": position.token}
        command = {
            "aggregate": 1,
            "pipeline": [{"$changeStream": start}, *stages],
            # Looking for the first changes may take long, and this command may not.
            "cursor": {"batchSize": 0},
        }
        self._cursor = await self._asked(command, self._timeout_s)

    async def next(self) -> Batch:
        """Return the next changes once there are some, or none after half a second.

        Raises ``HistoryLost`` and the driver's errors.
        """
        command = {
            "getMore": Int64(self._cursor["id"]),
            "collection": self._cursor["ns"].split(".", 1)[1],
            "batchSize": _BATCH_SIZE,
            "maxTimeMS": int(_AWAIT_S * 1000),
        }
        # A bound of the driver would become the time to wait for changes; the socket has one.
        self._cursor = await self._asked(command, within_s=0)
        return Batch(self._cursor["nextBatch"], self._cursor["postBatchResumeToken"])

    async def close(self) -> None:
        """Let MongoDB forget the question, as far as it answers within 1.5 s."""
        asking = self._asking
        if asking is None or not await _ended(asking, 2 * _AWAIT_S):
            return
        if not asking.cancelled() and asking.exception() is None:
            cursor = asking.result()
            name = cursor["ns"].split(".", 1)[1]
            with suppress(PyMongoError), pymongo.timeout(_AWAIT_S):
                await self._database.command({"killCursors": name, "cursors": [cursor["id"]]})
        await self._session.end_session()

    async def _asked(self, command: Document, within_s: float) -> Document:
        # The command may go on when it is cancelled, with Motor always does, in its thread, and
        # neither cursor nor session may be touched under it: see close().
        self._asking = asyncio.create_task(self._answer(command, within_s))
        return await asyncio.shield(self._asking)

    async def _answer(self, command: Document, within_s: float) -> Document:
        try:
            with pymongo.timeout(within_s):
                answer = await self._database.command(command, session=self._session)
        except OperationFailure as error:
            if error.code == _NO_REPLICA_SET:
                raise ChangesRefused(str(error)) from error
            if error.code in _HISTORY_LOST:
                raise HistoryLost(str(error)) from error
            raise
        cursor: Document = answer["cursor"]
        return cursor


async def _ended(task: asyncio.Task[Any], within_s: float) -> bool:
    """Tell whether the task ends in time. What it raises counts as seen."""
    task.add_done_callback(seen)
    done, _ = await asyncio.wait({task}, timeout=within_s)
    return bool(done)


@asynccontextmanager
async def open_changes(
    client: Any, database: Any, stages: Sequence[Document], position: Position, timeout_s: float
) -> AsyncIterator[ChangeStream]:
    """Ask for the changes of a database since a position, passed through more stages."""
    session: Session = await settled(client.start_session())
    stream = ChangeStream(database, session, timeout_s)
    try:
        await stream.open(stages, position)
        yield stream
    finally:
        await stream.close()
