"""A cache whose Redis fails: what readers and writers wait for, and what is left behind."""

import asyncio
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
from redis.exceptions import OutOfMemoryError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.common.cache import upkeep as upkeep_module
from services.common.cache.adoption import Adoption
from services.common.cache.breaker import Breaker, BreakerState
from services.common.cache.figures import CacheFigures
from services.common.cache.invalidation import Invalidations
from services.common.cache.lookup import Lookup
from services.common.cache.near import Near, NearOptions
from services.common.cache.read_through import ReadThroughCache
from services.common.cache.shared import Fill, Lease
from services.common.cache.upkeep import Upkeep
from services.common.redis.servers import RedisServers
from services.common.snapshot import Snapshot
from tests.patience import PATIENCE_S

SOON_S, TIMEOUT_S = 0.1, 60.0
IN_TURN = 50
"""How many batches 250 askers of 100 ids make at least."""
NAME: Lookup[str] = Lookup("name", str)


@dataclass
class BrokenValues:
    """Values that may fail, with what was done to them."""

    hangs: bool = False
    refuses: Exception | None = None
    refuses_always: Exception | None = None
    obeys_first: bool = False
    leases: dict[str, str] = field(default_factory=dict)
    round_trips: int = 0

    async def look(self, value_ids: Collection[str], token: str) -> Mapping[str, bytes | Lease]:
        """Grant free leases: there are no values."""
        if self.obeys_first:
            self.leases.update((value_id, token) for value_id in value_ids)
        await self._fail()
        answers = {
            value_id: Lease.TAKEN if value_id in self.leases else Lease.GRANTED
            for value_id in value_ids
        }
        for value_id in value_ids:
            self.leases.setdefault(value_id, token)
        return answers

    async def fill(self, fills: Sequence[Fill]) -> Sequence[bool]:
        """Take back leases."""
        await self._fail()
        for fill in fills:
            if self.leases.get(fill.value_id) == fill.token:
                del self.leases[fill.value_id]
        return [bool(fill.raw) for fill in fills]

    async def forget(self, value_ids: Collection[str]) -> None:
        """Delete leases."""
        await self._fail()
        for value_id in value_ids:
            self.leases.pop(value_id, None)

    async def forget_all(self) -> None:
        """Delete all leases."""
        await self._fail()
        self.leases.clear()

    async def _fail(self) -> None:
        self.round_trips += 1
        await asyncio.sleep(3600 if self.hangs else 0)
        refusal, self.refuses = self.refuses or self.refuses_always, None
        if refusal is not None:
            raise refusal


@dataclass
class Parts:
    """A cache on broken values."""

    values: BrokenValues
    breaker: Breaker
    invalidations: Invalidations
    cache: ReadThroughCache[str]


def a_cache(values: BrokenValues, timeout_s: float = TIMEOUT_S) -> Parts:
    async def load(value_ids: Collection[str]) -> dict[str, Snapshot[str]]:
        return {value_id: Snapshot(f"name of {value_id}") for value_id in value_ids}

    breaker, figures = Breaker(), CacheFigures()
    invalidations = Invalidations(values, breaker, figures, timeout_s)
    near: Near[str] = Near(NearOptions(entries=10, bytes=10_000, lease_s=1.0))
    cache = ReadThroughCache(NAME, load, values, near, breaker, invalidations, figures, timeout_s)
    return Parts(values, breaker, invalidations, cache)


async def test_a_lease_that_was_granted_in_an_answer_that_never_came_is_given_back() -> None:
    parts = a_cache(BrokenValues(refuses=ConnectionError("cut off"), obeys_first=True))
    assert (await parts.cache.get_many(["a", "b"])).keys() == {"a", "b"}
    await parts.cache.drain()
    assert parts.values.leases == {}


async def test_readers_who_wait_behind_one_who_got_no_answer_do_not_ask_in_turn() -> None:
    parts = a_cache(BrokenValues(hangs=True), SOON_S)
    readers = [
        parts.cache.get_many([f"{reader}-{number}" for number in range(100)])
        for reader in range(250)
    ]
    async with asyncio.timeout(PATIENCE_S):
        found = await asyncio.gather(*readers)
    assert parts.values.round_trips < IN_TURN / 3
    assert [len(names) for names in found] == [100] * 250
    assert parts.breaker.state is BreakerState.OPEN


async def test_writers_who_wait_behind_one_who_got_no_answer_do_not_ask_in_turn() -> None:
    parts = a_cache(BrokenValues(hangs=True), SOON_S)
    writers = [
        parts.cache.invalidate([f"{writer}-{number}" for number in range(100)])
        for writer in range(250)
    ]
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*writers)
    assert parts.values.round_trips < IN_TURN / 3
    assert all(parts.invalidations.owes([f"{writer}-0"]) for writer in range(250))


async def test_while_the_breaker_is_open_redis_is_neither_asked_nor_filled_nor_told() -> None:
    parts = a_cache(BrokenValues())
    parts.breaker.open()
    assert (await parts.cache.get_many(["a"])).keys() == {"a"}
    await parts.cache.invalidate(["a"])
    await parts.cache.drain()
    assert parts.values.round_trips == 0
    assert parts.invalidations.owes(["a"])


@pytest.mark.parametrize(
    ("error", "tries"),
    [(TimeoutError(), 2), (RedisTimeoutError(), 2), (OutOfMemoryError("OOM"), 3)],
    ids=["our timeout", "redis-py's timeout", "a refusal"],
)
async def test_an_invalidation_is_tried_until_the_breaker_opens_and_then_owed(
    error: Exception, tries: int
) -> None:
    parts = a_cache(BrokenValues())
    parts.values.refuses_always = error
    before = parts.values.round_trips
    await parts.cache.invalidate(["a"])
    assert parts.values.round_trips - before == tries
    assert parts.breaker.state is BreakerState.OPEN
    assert parts.invalidations.owes(["a"])


async def test_an_invalidation_that_is_taken_at_the_second_try_is_not_owed() -> None:
    parts = a_cache(BrokenValues())
    parts.values.refuses = ConnectionError("gone")
    await parts.cache.invalidate(["a"])
    assert parts.breaker.state is BreakerState.CLOSED
    assert not parts.invalidations.owes(["a"])


@dataclass
class OneServerGone:
    """Servers of which one does not say who it is."""

    error: Exception

    async def identity(self) -> frozenset[str]:
        """Fail."""
        raise self.error


@pytest.mark.parametrize("error", [ConnectionError("one is gone"), KeyError("run_id")], ids=repr)
async def test_probes_that_fail_in_whatever_way_open_the_breaker_though_reads_succeed(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(upkeep_module, "INTERVAL_S", 0.05)
    parts = a_cache(BrokenValues())
    servers = cast("RedisServers", OneServerGone(error))
    adoption = Adoption(servers, NAME)
    upkeep = Upkeep(
        servers, parts.values, parts.breaker, parts.invalidations, adoption, TIMEOUT_S, list
    )
    work = asyncio.create_task(upkeep.run())
    async with asyncio.timeout(PATIENCE_S):
        for number in itertools.count():
            if not parts.breaker.closed:
                break
            await parts.cache.get_many([f"{number}"])
            await asyncio.sleep(0.005)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await parts.cache.drain()
