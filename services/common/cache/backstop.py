"""Repeats the invalidation of every change in MongoDB, for writers that could not.

A writer may die, or Redis refuse, between a write and its invalidation. Of all processes of a
service one watches the changes and has the cached values of each forgotten, at least once.
"""

import asyncio
import itertools
import time
from collections.abc import (
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
from bson import Timestamp
from pymongo.errors import PyMongoError

from services.common.background import until_one_ends
from services.common.cache.hold import Hold
from services.common.cache.watched import Watched, stages_for
from services.common.changes import ChangesRefused, HistoryLost, Position
from services.common.mongo import Document, Mongo
from services.common.undisturbed import undisturbed

_RENEW_S: Final = 1.0
_REFUSED_PAUSE_S: Final = 60.0
_REWIND_S: Final = 310  # as long as a value lives, and a margin
_FIRST_PAUSE_S: Final = 0.1
_MAX_PAUSE_S: Final = 1.0
_ATTEMPT_WITHIN_S: Final = 5.0
_DOCUMENT_CHANGES: Final = frozenset({"insert", "update", "replace", "delete"})

log = structlog.get_logger()

Forget = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class BackstopFigures:
    """What one process's backstop did; ``lag_s`` is the age of the last change when it came."""

    holding: bool = False
    changes: int = 0
    keys: int = 0
    failures: int = 0
    forgotten: int = 0
    rewinds: int = 0
    lag_s: float = 0.0


@dataclass(slots=True)
class _Progress:
    """How far the changes have been delivered while the watch was held."""

    position: Position


class _InDoubt(Exception):
    """Something happened of which nobody can tell what it changed."""


class Backstop:
    """Watches collections as long as no other process does, and has their changes forgotten.

    Nothing is skipped while the cache refuses. Where MongoDB cannot tell what changed,
    ``forget_all`` has all values forgotten; it raises when it could not. A holder that dies is
    replaced after 6 s, one that stops after 1 s, plus what MongoDB takes to answer.
    """

    def __init__(self, mongo: Mongo, watched: Mapping[str, Watched], forget_all: Forget) -> None:
        self.figures = BackstopFigures()
        self._mongo = mongo
        self._watched = watched
        self._forget_all = forget_all
        self._stages = stages_for(watched)
        self._hold = Hold(mongo)
        self._reached: Position | None = None
        self._rewind_wanted = False
        self._watch_trouble = _Trouble("cache backstop cannot watch")
        self._cache_trouble = _Trouble("cache does not take invalidations from the backstop")

    def request_rewind(self) -> None:
        """Have the changes of the last 310 s repeated, whichever process watches.

        It is done within seconds, or once MongoDB answers.
        """
        self._rewind_wanted = True

    async def run(self) -> None:
        """Watch, or stand by, for ever. MongoDB need not be reachable."""
        while True:
            pause_s = await self._attempt()
            await asyncio.sleep(pause_s)

    async def _attempt(self) -> float:
        """Watch if nobody does, as long as it goes well; return how long to stand by then."""
        try:
            await self._rewind_if_wanted()
            position = await self._take()
            if position is None:
                self._watch_trouble.over()
                return _RENEW_S
            await self._watch(position)
        except ChangesRefused as error:
            self._watch_trouble.met(error, log.error)
            return _REFUSED_PAUSE_S
        except Exception as error:  # noqa: BLE001 (the next attempt may go better)
            self._watch_trouble.met(error)
            return _RENEW_S
        return 0

    async def _take(self) -> Position | None:
        position = await self._hold.take()
        if position is None and not await self._hold.is_begun():
            await self._hold.begin(self._reached or Position(await self._mongo.operation_time()))
            position = await self._hold.take()
        return position

    async def _watch(self, position: Position) -> None:
        """Watch until somebody else has the hold; give it up when anything goes wrong."""
        progress = _Progress(position)
        self.figures.holding = True
        try:
            await until_one_ends([self._keep(progress), self._follow(progress)])
        finally:
            self.figures.holding = False
            self._reached = progress.position
            with suppress(PyMongoError):  # it expires by itself
                await self._hold.give_up(progress.position)

    async def _keep(self, progress: _Progress) -> None:
        """Renew the hold, and save how far it has come, until somebody else has it."""
        while await self._hold.keep(progress.position):
            await asyncio.sleep(_RENEW_S)
            await self._rewind_if_wanted()

    async def _rewind_if_wanted(self) -> None:
        if not self._rewind_wanted:
            return
        self._rewind_wanted = False
        try:
            now = await self._mongo.operation_time()
            await self._hold.rewind(Timestamp(max(now.time - _REWIND_S, 1), 0))
        except BaseException:
            self._rewind_wanted = True
            raise
        self.figures.rewinds += 1

    async def _follow(self, progress: _Progress) -> None:
        while True:
            try:
                await self._follow_changes(progress)
            except (HistoryLost, _InDoubt) as reason:
                log.warning("cached values in doubt, all are forgotten", reason=str(reason))
                progress.position = await self._forgotten()

    async def _forgotten(self) -> Position:
        """Forget all values, and return the position from which changes count again."""
        now = await self._mongo.operation_time()
        await self._insist(self._forget_all)
        self.figures.forgotten += 1
        return Position(Timestamp(now.time, now.inc + 1))

    async def _follow_changes(self, progress: _Progress) -> None:
        async with self._mongo.changes(self._stages, progress.position) as stream:
            while True:
                batch = await stream.next()
                self._watch_trouble.over()
                newest = progress.position.time
                if batch.changes:
                    await self._deliver(batch.changes)
                    newest = batch.changes[-1]["clusterTime"]
                # Not before: what is saved and not delivered is lost when the process dies.
                progress.position = Position(newest, batch.token)

    async def _deliver(self, changes: Sequence[Document]) -> None:
        self.figures.changes += len(changes)
        self.figures.lag_s = max(0.0, time.time() - changes[-1]["clusterTime"].time)
        for change in changes:
            if change["operationType"] not in _DOCUMENT_CHANGES:
                raise _InDoubt(change["operationType"])
        for name, watched in self._watched.items():
            its = [change for change in changes if change["ns"]["coll"] == name]
            ids = await self._owners(name, watched.owner, its)
            if ids:
                await self._insist(lambda watched=watched, ids=ids: watched.invalidate(ids))  # type: ignore[misc]
                self.figures.keys += len(ids)

    async def _owners(self, name: str, owner: str, changes: Sequence[Document]) -> list[str]:
        """Return whose values the changed documents belong to, each once."""
        if owner == "_id":
            return list(dict.fromkeys(change["documentKey"]["_id"] for change in changes))
        known: dict[str, str] = {
            change["documentKey"]["_id"]: change["fullDocument"][owner]
            for change in changes
            if owner in change.get("fullDocument", {})
        }
        unknown = {change["documentKey"]["_id"] for change in changes} - known.keys()
        if unknown:
            found = self._mongo.collection(name).find({"_id": {"$in": [*unknown]}}, {owner: 1})
            documents = await undisturbed(found.to_list(None))
            known |= {document["_id"]: document[owner] for document in documents}
        if unknown - known.keys():
            raise _InDoubt(f"a document of {name} is gone and with it whose it was")
        return list(dict.fromkeys(known.values()))

    async def _insist(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do the work, again and again until it succeeds."""
        for pause_s in _pauses():
            try:
                async with asyncio.timeout(_ATTEMPT_WITHIN_S):
                    await work()
            except Exception as error:  # noqa: BLE001 (whatever it is, nothing may be skipped)
                self.figures.failures += 1
                self._cache_trouble.met(error)
            else:
                self._cache_trouble.over()
                return
            await asyncio.sleep(pause_s)


class _Trouble:
    """Something that may fail for long, and is logged when that begins and ends."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._present = False

    def met(self, error: Exception, write: Callable[..., object] | None = None) -> None:
        if not self._present:
            (write or log.warning)(self._event, error=repr(error))
        self._present = True

    def over(self) -> None:
        if self._present:
            log.info("trouble is over", was=self._event)
        self._present = False


def _pauses() -> Iterator[float]:
    for attempt in itertools.count():
        yield min(_FIRST_PAUSE_S * 2 ** min(attempt, 10), _MAX_PAUSE_S)
