"""The shop with a Redis that Sentinel watches."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.support.ledger import eventually
from tests.e2e.support.twins import Sight, Twins, opened_twins
from tests.redis_sentinel import SENTINEL_PASSWORD, WATCHED, Server, Watched, watched_servers

NEVER_MS = 600_000
DOWN_AFTER_MS = 500
WITHIN_S = 60.0

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    async with watched_servers(tmp_path / "watched", NEVER_MS) as running:
        yield running


@pytest.fixture
async def twins(mongo_uri: str, watched: Watched, tmp_path: Path) -> AsyncIterator[Twins]:
    async with opened_twins(
        tmp_path / "twins",
        mongo_uri,
        watched.url,
        SHOP_REDIS_SENTINEL=WATCHED,
        SHOP_REDIS_SENTINEL_PASSWORD=SENTINEL_PASSWORD,
        SHOP_CACHE="redis",
    ) as running:
        yield running


@asynccontextmanager
async def busy(twins: Twins) -> AsyncIterator[None]:
    """Change and look by turns, all the while; what was changed is soon seen by everybody."""

    async def work() -> None:
        while True:
            sight = await twins.change()

            async def is_seen(sight: Sight = sight) -> bool:
                return (await twins.look())[0] == [sight, sight]

            await eventually(is_seen, WITHIN_S, "what was written is not seen")

    task = asyncio.create_task(work())
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def runs_scripts(server: Server) -> bool:
    """Say whether a server was ever given what the cache does."""
    return "cmdstat_eval" in await server.command("INFO", "commandstats")


async def test_with_the_primary_killed_no_call_fails_and_its_replica_is_used_from_then_on(
    twins: Twins, watched: Watched
) -> None:
    former, heir = watched.servers
    await twins.is_cached(await twins.change())
    async with busy(twins):
        await former.kill()
        await watched.replaced_after(DOWN_AFTER_MS)
        await watched.becomes_primary(heir)
        await watched.replaced_after(NEVER_MS)  # nor is an heir that pauses
        await eventually(lambda: runs_scripts(heir), WITHIN_S, "the heir is not used")
        await former.start_again()  # and takes itself for a primary, until the sentinels tell it
    await twins.is_cached(await twins.change())
    await twins.become("closed")
    assert not await runs_scripts(former)
