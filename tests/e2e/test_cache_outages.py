"""Redis broken in every way, before two processes of each service that share it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from services.stack.folder import DataFolder
from tests.e2e.support.brittle_redis import BrittleRedis, brittle_redis
from tests.e2e.support.twins import Twins, opened_twins

# A read may wait for two timeouts of 200 ms, the second behind somebody else's, and a load.
READ_WITHIN_S = 3 * (2 * 0.2 + 0.4)
# A checkout is seven writes and reads in three services.
WRITE_WITHIN_S = 5.0

Fault = Callable[[BrittleRedis], AbstractAsyncContextManager[None]]

FAULTS: dict[str, Fault] = {
    "killed": BrittleRedis.killed,
    "frozen": BrittleRedis.frozen,
    "slow": BrittleRedis.slow,
    "cut off": BrittleRedis.cut_off,
    "loading": BrittleRedis.loading,
    "a replica": BrittleRedis.replica,
    "an orphaned replica": BrittleRedis.orphaned,
    "full": BrittleRedis.full,
}


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
    await twins.become("closed", READ_WITHIN_S)
    await twins.is_cached(await twins.change(WRITE_WITHIN_S), READ_WITHIN_S)
    lost = await twins.invalidations("lost")
    async with fault(redis):
        await twins.change(WRITE_WITHIN_S)
        await twins.become("open", READ_WITHIN_S)
        sight = await twins.change(WRITE_WITHIN_S)
        for _ in range(3):
            seen, sources = await twins.look(READ_WITHIN_S)
            assert seen == [sight, sight]
            assert sources.keys() == {"mongo"}
        assert await twins.invalidations("lost") > lost
    await twins.is_cached(sight, READ_WITHIN_S)
    assert await twins.breakers() == {"closed"}
    sent = await twins.invalidations("sent")
    await twins.is_cached(await twins.change(WRITE_WITHIN_S), READ_WITHIN_S)
    assert await twins.invalidations("sent") > sent


async def test_a_redis_that_is_restarted_empty_leaves_nothing_stale(
    twins: Twins, redis: BrittleRedis
) -> None:
    await twins.become("closed", READ_WITHIN_S)
    await twins.is_cached(await twins.change(WRITE_WITHIN_S), READ_WITHIN_S)
    changes = asyncio.create_task(twins.change(WRITE_WITHIN_S))
    async with redis.killed():
        sight = await changes
    await twins.become("closed", READ_WITHIN_S)
    await twins.is_cached(sight, READ_WITHIN_S)
