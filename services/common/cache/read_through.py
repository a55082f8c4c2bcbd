"""Reading through the cache: near, then Redis, then MongoDB."""

import asyncio
import itertools
import secrets
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Any, Final, Generic

import structlog

from services.common.batching import Batch, Batcher
from services.common.cache.breaker import Breaker
from services.common.cache.envelope import UnreadableValueError
from services.common.cache.figures import CacheFigures
from services.common.cache.invalidation import FAILURES, TIMEOUTS, Invalidations
from services.common.cache.lookup import Entry, Lookup
from services.common.cache.near import Near
from services.common.cache.shared import LEASE_S, Fill, Lease, SharedValues
from services.common.cache.turns import Turns
from services.common.call import Call, current_call
from services.common.errors import DeadlineExceeded, DomainError, Unavailable
from services.common.freshness import Freshness, Source
from services.common.snapshot import Snapshot, Value

Load = Callable[[Collection[str]], Awaitable[Mapping[str, Snapshot[Value]]]]
"""Loads values from the store of record; what it leaves out does not exist."""

_BATCH: Final = 500
_OUTCOME_OPEN: Final = (DeadlineExceeded, Unavailable)

# Looking up an enumeration's member takes several times as long as looking up a name.
_NEAR: Final = Freshness.NEAR
_STORE: Final = Freshness.STORE
_FROM_NEAR: Final = Source.NEAR
_FROM_REDIS: Final = Source.REDIS

log = structlog.get_logger()


@dataclass(eq=False, frozen=True, slots=True)
class _Filling(Generic[Value]):
    fill: Fill
    entry: Entry[Value] | None


_Seen = Entry[Value] | Batch[str, Snapshot[Value]] | None
"""What Redis has; where that is nothing, the load under way here, or None for one elsewhere."""


class ReadThroughCache(Generic[Value]):
    """One kind of value, read through the cache.

    Redis never makes a read fail: when it does not answer, MongoDB does.
    """

    def __init__(  # noqa: PLR0913, PLR0917 (its parts, which one place puts together)
        self,
        lookup: Lookup[Value],
        load: Load[Value],
        shared: SharedValues,
        near: Near[Value],
        breaker: Breaker,
        invalidations: Invalidations,
        figures: CacheFigures,
        timeout_s: float,
        batcher: type[Batcher[Any, Any]] = Batcher,
    ) -> None:
        self._lookup = lookup
        self._load = load
        self._shared = shared
        self._near = near
        self._breaker = breaker
        self._invalidations = invalidations
        self._figures = figures
        self._timeout_s = timeout_s
        self._looks: Batcher[str, _Seen[Value]] = batcher(self._look, _BATCH)
        self._loads: Batcher[str, Snapshot[Value]] = batcher(self._load_and_fill, _BATCH)
        self._fills: Batcher[_Filling[Value], None] = batcher(self._fill, _BATCH)
        self._turns = Turns()
        self._granted: dict[str, str] = {}
        self._process = secrets.token_hex(8)
        self._numbers = itertools.count(1)

    async def get(self, value_id: str) -> Snapshot[Value] | None:
        """Return the value; None if there is none. Raises what loading raises."""
        call = current_call()
        if call.freshness is _NEAR:
            entry = self._near.get(value_id)
            if entry is not None:
                return self._from_near(entry, call)
            if not self._near.closed:
                self._figures.near_miss += 1
        wanted = (value_id,)
        if call.freshness is _STORE:
            return (await self._past_caches(wanted, call)).get(value_id)
        if not self._may_look(wanted):
            return (await self._from_mongo(wanted, call)).get(value_id)
        # Most of what is not near ends here: Redis has it.
        try:
            answers = await self._looks.join(wanted).answers()
        except FAILURES:
            return (await self._from_mongo(wanted, call)).get(value_id)
        seen = answers[value_id]
        if isinstance(seen, Entry):
            call.answered_from(_FROM_REDIS, seen.age_ms)
            return seen.snapshot
        return (await self._far(wanted, call, answers)).get(value_id)

    async def get_many(self, value_ids: Collection[str]) -> Mapping[str, Snapshot[Value]]:
        """Return the values that exist. Raises what loading raises."""
        call = current_call()
        found: dict[str, Snapshot[Value]] = {}
        wanted: list[str] = []
        for value_id in value_ids:
            entry = self._near.get(value_id) if call.freshness is _NEAR else None
            if entry is None:
                wanted.append(value_id)
            elif (snapshot := self._from_near(entry, call)) is not None:
                found[value_id] = snapshot
        if not wanted:
            return found
        if call.freshness is _STORE:
            return _of(wanted, await self._past_caches(wanted, call))
        if call.freshness is _NEAR and not self._near.closed:
            self._figures.near_miss += len(wanted)
        found.update(await self._far(wanted, call))
        return found

    @asynccontextmanager
    async def forgetting(self, value_ids: Iterable[str]) -> AsyncIterator[None]:
        """Forget the values at the end of a block that changes what they show.

        Also when the block is cancelled or fails, unless it was refused: it may have written. Then
        nothing is acknowledged, and nobody waits for Redis.
        """
        try:
            yield
        except BaseException as error:
            if not isinstance(error, DomainError) or isinstance(error, _OUTCOME_OPEN):
                ids = list(value_ids)
                self._invalidations.start(ids)
                self._near.forget(ids)
            raise
        await self.invalidate(list(value_ids))

    async def invalidate(self, value_ids: Collection[str]) -> None:
        """Forget the values, here and everywhere.

        When Redis does not take it, it is told as soon as it does.
        """
        if not value_ids:
            return
        try:
            await self._invalidations.send(value_ids)
        finally:
            self._near.forget(value_ids)

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        for batcher in (self._looks, self._loads, self._fills):
            await batcher.drain()
        await self._invalidations.drain()

    def _from_near(self, entry: Entry[Value], call: Call) -> Snapshot[Value] | None:
        call.answered_from(_FROM_NEAR, entry.age_ms)
        snapshot = entry.snapshot
        if snapshot is None:
            self._figures.near_absent += 1
        else:
            self._figures.near_hit += 1
        return snapshot

    def _may_look(self, value_ids: Sequence[str]) -> bool:
        """Say whether Redis is asked for values, and has nothing older of them."""
        return self._breaker.closed and not self._invalidations.owes(value_ids)

    async def _far(
        self,
        value_ids: Sequence[str],
        call: Call,
        answers: Mapping[str, _Seen[Value]] | None = None,
    ) -> Mapping[str, Snapshot[Value]]:
        """Return the values that exist, from Redis or MongoDB; Redis may have answered once."""
        found: dict[str, Snapshot[Value]] = {}
        left = value_ids
        until = monotonic() + LEASE_S
        for attempt in itertools.count():
            if answers is None:
                if not self._may_look(left):
                    break
                try:
                    answers = await self._looks.ask(left)
                except FAILURES:
                    break
            left = self._take(answers, left, found, call)
            if left:
                left = await self._await_loads(answers, left, found, call)
            if not left:
                return found
            if monotonic() >= until:
                break
            self._figures.redis_waited += 1
            await self._turns.wait(left[0], attempt)
            answers = None
        found.update(_of(left, await self._from_mongo(left, call)))
        return found

    def _past_caches(
        self, value_ids: Sequence[str], call: Call
    ) -> Awaitable[Mapping[str, Snapshot[Value]]]:
        """Return the values that exist, and perhaps others, from MongoDB as the caller wants."""
        self._figures.bypassed += len(value_ids)
        call.answered_from(Source.BYPASS)
        return self._loads.join(value_ids).answers()

    def _from_mongo(
        self, value_ids: Sequence[str], call: Call
    ) -> Awaitable[Mapping[str, Snapshot[Value]]]:
        """Return the values that exist, and perhaps others, from MongoDB for want of Redis."""
        call.answered_from(Source.MONGO)
        return self._loads.join(value_ids).answers()

    def _take(
        self,
        answers: Mapping[str, _Seen[Value]],
        value_ids: Sequence[str],
        found: dict[str, Snapshot[Value]],
        call: Call,
    ) -> list[str]:
        """Add what Redis has to ``found``; return what is being loaded."""
        loading: list[str] = []
        for value_id in value_ids:
            answer = answers[value_id]
            if isinstance(answer, Entry):
                call.answered_from(_FROM_REDIS, answer.age_ms)
                if answer.snapshot is not None:
                    found[value_id] = answer.snapshot
            else:
                loading.append(value_id)
        return loading

    async def _await_loads(
        self,
        answers: Mapping[str, _Seen[Value]],
        loading: Sequence[str],
        found: dict[str, Snapshot[Value]],
        call: Call,
    ) -> list[str]:
        """Add what is loaded here to ``found``; return what somebody else loads."""
        elsewhere: list[str] = []
        for value_id in loading:
            load = answers[value_id]
            if isinstance(load, Batch):
                found.update(_of([value_id], await load.answers()))
                call.answered_from(Source.MONGO)
            else:
                elsewhere.append(value_id)
        return elsewhere

    async def _look(self, value_ids: Collection[str]) -> Mapping[str, _Seen[Value]]:
        """Ask Redis, and begin to load what leases were granted for."""
        if not self._breaker.closed:
            raise ConnectionError("Redis has not answered those who asked before")
        token = f"{self._process}-{next(self._numbers)}"
        with self._near.flight() as flight:
            try:
                async with asyncio.timeout(self._timeout_s):
                    answers = await self._shared.look(value_ids, token)
            except FAILURES as error:
                self._failed(value_ids, error)
                # It may have been done all the same, and nobody else would load for 1 s.
                self._fills.join([_Filling(Fill(value_id, token), None) for value_id in value_ids])
                raise
            if not self._breaker.closed:
                # Others may have given Redis up too, and acknowledged writes it was not told of.
                self._fills.join([_Filling(Fill(value_id, token), None) for value_id in value_ids])
                raise ConnectionError("Redis was given up while it was asked")
            self._breaker.succeeded()
            self._figures.redis_keys.add(len(value_ids))
            entries = self._entries(answers)
            self._near.bring(flight, entries)
        if len(entries) == len(value_ids):
            return entries
        granted = [value_id for value_id in value_ids if answers[value_id] is Lease.GRANTED]
        seen: dict[str, _Seen[Value]] = {**dict.fromkeys(value_ids), **entries}
        if granted:
            self._figures.redis_miss += len(granted)
            self._granted.update(dict.fromkeys(granted, token))
            seen.update(dict.fromkeys(granted, self._loads.join(granted)))
        return seen

    def _entries(self, answers: Mapping[str, bytes | Lease]) -> dict[str, Entry[Value]]:
        """Return the values that are there. What is unreadable is removed."""
        entries: dict[str, Entry[Value]] = {}
        unreadable: list[str] = []
        for value_id, raw in answers.items():
            if isinstance(raw, Lease):
                continue
            entry = self._near.known(value_id, raw)
            if entry is None:
                try:
                    entry = self._lookup.read(value_id, raw)
                except UnreadableValueError as error:
                    log.warning("unreadable", key=self._lookup.key(value_id), error=str(error))
                    unreadable.append(value_id)
                    continue
            entries[value_id] = entry
            if entry.snapshot is None:
                self._figures.redis_absent += 1
            else:
                self._figures.redis_hit += 1
        if unreadable:
            self._figures.redis_unreadable += len(unreadable)
            self._invalidations.start(unreadable)
        return entries

    async def _load_and_fill(self, value_ids: Collection[str]) -> Mapping[str, Snapshot[Value]]:
        """Load values, and fill in those that a lease was granted for before this moment."""
        granted = self._granted
        tokens = {value_id: granted.pop(value_id) for value_id in value_ids if value_id in granted}
        began = perf_counter()
        try:
            loaded = await self._load(value_ids)
        except BaseException:
            self._figures.mongo_error += len(value_ids)
            self._fills.join([_Filling(Fill(*lease), None) for lease in tokens.items()])
            raise
        self._figures.load_s.add(perf_counter() - began)
        self._figures.mongo_keys.add(len(value_ids))
        self._figures.mongo_hit += len(loaded)
        self._figures.mongo_absent += len(value_ids) - len(loaded)
        if not tokens:
            return loaded
        entries = {
            value_id: self._lookup.entry(value_id, loaded.get(value_id)) for value_id in tokens
        }
        self._fills.join(
            [
                _Filling(Fill(value_id, tokens[value_id], entry.raw, entry.ttl_s), entry)
                for value_id, entry in entries.items()
            ]
        )
        kept = {
            value_id: entry.snapshot
            for value_id, entry in entries.items()
            if entry.snapshot is not None
        }
        return {**loaded, **kept}

    async def _fill(self, fillings: Collection[_Filling[Value]]) -> Mapping[_Filling[Value], None]:
        fills = [filling.fill for filling in fillings]
        if not self._breaker.closed:
            self._turns.come(fill.value_id for fill in fills)
            return {}
        try:
            with self._near.flight() as flight:
                async with asyncio.timeout(self._timeout_s):
                    accepted = await self._shared.fill(fills)
                self._near.bring(
                    flight,
                    {
                        filling.fill.value_id: filling.entry
                        for filling, stored in zip(fillings, accepted, strict=True)
                        if stored and filling.entry is not None
                    },
                )
        except FAILURES as error:
            self._failed(fills, error)
        finally:
            self._turns.come(fill.value_id for fill in fills)
        return {}

    def _failed(self, asked: Collection[object], error: BaseException) -> None:
        self._figures.redis_error += len(asked)
        self._breaker.failed(timed_out=isinstance(error, TIMEOUTS))


def _of(
    value_ids: Collection[str], loaded: Mapping[str, Snapshot[Value]]
) -> dict[str, Snapshot[Value]]:
    """Return what was loaded of these: others may have asked for more."""
    return {value_id: loaded[value_id] for value_id in value_ids if value_id in loaded}
