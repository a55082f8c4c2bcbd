"""What a process does when it meets Redis, and when another answers than before."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from services.common.cache.adoption import Adoption, NotAdoptedYetError
from services.common.cache.breaker import Breaker, BreakerState
from services.common.cache.figures import CacheFigures
from services.common.cache.invalidation import Invalidations
from services.common.cache.shared import Fill, SharedValues
from services.common.cache.upkeep import Upkeep
from services.common.redis.servers import RedisServers
from tests.patience import PATIENCE_S

TIMEOUT_S = 0.02
OLD, NEW = frozenset(["old:1"]), frozenset(["new:1"])


@dataclass
class FakeRedis:
    """Answers under a reign, and can be adopted at once, or not yet."""

    reigns: frozenset[str] = OLD
    adoptable: bool = True
    failing: int = 0
    hanging: bool = False
    adopted: list[frozenset[str]] = field(default_factory=list)
    probed: int = 0

    async def identity(self) -> frozenset[str]:
        if self.failing:
            self.failing -= 1
            raise ConnectionError("lost")
        return self.reigns

    async def adopt(self, reigns: frozenset[str]) -> None:
        if self.hanging:
            await asyncio.Event().wait()
        if not self.adoptable:
            raise NotAdoptedYetError("others")
        self.adopted.append(reigns)

    async def fill(self, fills: Sequence[Fill]) -> Sequence[bool]:
        self.probed += 1
        return [False for _ in fills]


@dataclass
class Kept:
    """Upkeep, and what it keeps."""

    redis: FakeRedis
    breaker: Breaker
    upkeep: Upkeep
    replaced: list[None]

    async def round(self) -> BreakerState:
        await self.upkeep._round()
        return self.breaker.state


@pytest.fixture
def kept() -> Kept:
    redis, breaker, replaced = FakeRedis(), Breaker(settle_s=3600), list[None]()
    shared = cast("SharedValues", redis)
    upkeep = Upkeep(
        cast("RedisServers", redis),
        shared,
        breaker,
        Invalidations(shared, breaker, CacheFigures(), TIMEOUT_S),
        cast("Adoption", redis),
        TIMEOUT_S,
        lambda: replaced.append(None),
    )
    return Kept(redis, breaker, upkeep, replaced)


async def test_a_redis_that_is_adopted_before_anybody_asks_it_may_be_asked_at_once(
    kept: Kept,
) -> None:
    await kept.upkeep.begin()
    assert kept.breaker.state is BreakerState.CLOSED
    assert kept.redis.adopted == [OLD]
    assert not kept.replaced


async def test_a_redis_that_cannot_be_adopted_yet_is_not_asked_from_the_beginning(
    kept: Kept,
) -> None:
    kept.redis.adoptable = False
    await kept.upkeep.begin()
    assert kept.breaker.state is BreakerState.OPEN
    assert not kept.redis.probed
    kept.redis.adoptable = True
    assert await kept.round() is BreakerState.SETTLING


async def test_one_round_that_fails_at_the_beginning_does_no_harm(kept: Kept) -> None:
    kept.redis.failing = 1
    await kept.upkeep.begin()
    assert kept.breaker.state is BreakerState.CLOSED
    assert kept.redis.adopted == [OLD]


async def test_a_redis_that_hangs_at_the_beginning_is_not_asked(kept: Kept) -> None:
    kept.redis.hanging = True
    async with asyncio.timeout(PATIENCE_S):
        await kept.upkeep.begin()
    assert kept.breaker.state is BreakerState.OPEN


async def test_when_another_redis_answers_it_is_not_asked_until_it_is_adopted_and_has_settled(
    kept: Kept,
) -> None:
    await kept.upkeep.begin()
    kept.redis.reigns, kept.redis.adoptable = NEW, False
    assert await kept.round() is BreakerState.OPEN
    assert not kept.replaced
    kept.redis.adoptable = True
    assert await kept.round() is BreakerState.SETTLING
    assert kept.redis.adopted == [OLD, NEW]
    assert len(kept.replaced) == 1
    await kept.round()
    assert len(kept.replaced) == 1


async def test_another_redis_that_can_be_adopted_at_once_has_to_settle_too(kept: Kept) -> None:
    await kept.upkeep.begin()
    kept.redis.reigns = NEW
    assert await kept.round() is BreakerState.SETTLING
