"""Redis broken in every way, before two processes of each service that share it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.brittle_redis import FAULTS, BrittleRedis, Fault, brittle_redis
from services.stack.folder import DataFolder
from tests.e2e.support.ledger import eventually
from tests.e2e.support.twins import READ, Twins, opened_twins

# A read may wait for two timeouts of 200 ms, the second behind somebody else's, and a load.
READ_WITHIN_S = 2.0
# A checkout is seven writes and reads in three services.
WRITE_WITHIN_S = 4.5
ATTEMPTS = 5

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
async def redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BrittleRedis]:
    folder = DataFolder(tmp_path_factory.mktemp("brittle"))
    folder.prepare()
    async with brittle_redis(folder) as running:
        yield running


@pytest.fixture(scope="module")
async def twins(
    mongo_uri: str, redis: BrittleRedis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Twins]:
    path: Path = tmp_path_factory.mktemp("twins")
    async with opened_twins(path, mongo_uri, redis.url) as running:
        yield running


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_no_read_fails_no_write_fails_and_nothing_stale_is_left(
    twins: Twins, redis: BrittleRedis, fault: Fault
) -> None:
    slowest: list[dict[str, float]] = []
    # Who meets a pause of the machine waits longer, but not somebody each time.
    while not slowest or not in_time(slowest[-1]):
        assert len(slowest) < ATTEMPTS, slowest
        slowest.append(await slowest_while(fault, twins, redis))


def in_time(slowest_s: dict[str, float]) -> bool:
    return all(
        took_s < (READ_WITHIN_S if what == READ else WRITE_WITHIN_S)
        for what, took_s in slowest_s.items()
    )


async def slowest_while(fault: Fault, twins: Twins, redis: BrittleRedis) -> dict[str, float]:
    """Read and write before, during and after a fault; return the slowest calls during it."""
    await twins.become("closed")
    await twins.is_cached(await twins.change())
    lost = await twins.invalidations("lost")
    async with fault(redis):
        twins.pace.slowest_s()
        await twins.change()
        await twins.become("open")
        sight = await twins.change()
        for _ in range(3):
            seen, sources = await twins.look()
            assert seen == [sight, sight]
            assert sources.keys() == {"mongo"}
        slowest = twins.pace.slowest_s()
        assert await twins.invalidations("lost") > lost
    await twins.is_cached(sight)
    await twins.become("closed")
    sent = await twins.invalidations("sent")

    async def are_sent() -> bool:
        await twins.is_cached(await twins.change())
        return await twins.invalidations("sent") > sent

    await eventually(are_sent, 60.0, "no invalidation is sent")
    return slowest


async def test_a_redis_that_is_restarted_empty_leaves_nothing_stale(
    twins: Twins, redis: BrittleRedis
) -> None:
    await twins.become("closed")
    await twins.is_cached(await twins.change())
    changes = asyncio.create_task(twins.change())
    async with redis.killed():
        sight = await changes
    await twins.become("closed")
    await twins.is_cached(sight)


async def test_what_was_written_while_redis_hung_for_a_moment_is_seen_by_all_soon(
    twins: Twins, redis: BrittleRedis
) -> None:
    await twins.become("closed")
    await twins.is_cached(await twins.change())
    async with redis.frozen():
        sight = await twins.change()

    async def is_seen() -> bool:
        return (await twins.look())[0] == [sight, sight]

    await eventually(is_seen, 60.0, "what was written is not seen")
    await twins.is_cached(sight)
