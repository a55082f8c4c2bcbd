"""Redis broken in every way, before two processes of each service that share it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.brittle_redis import FAULTS, BrittleRedis, Fault, brittle_redis
from services.stack.folder import DataFolder
from tests.e2e.support.ledger import eventually
from tests.e2e.support.twins import Twins, opened_twins

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
    """Also what waits too long fails: services end a read of a product after 2.5 s."""
    await twins.become("closed")
    await twins.is_cached(await twins.change())
    lost = await twins.invalidations("lost")
    async with fault(redis):
        await twins.change()
        await twins.become("open")
        sight = await twins.change()
        for _ in range(3):
            seen, sources = await twins.look()
            assert seen == [sight, sight]
            assert sources.keys() == {"mongo"}
        assert await twins.invalidations("lost") > lost
    await twins.is_cached(sight)
    await twins.become("closed")
    sent = await twins.invalidations("sent")

    async def are_sent() -> bool:
        await twins.is_cached(await twins.change())
        return await twins.invalidations("sent") > sent

    await eventually(are_sent, 60.0, "no invalidation is sent")


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
