"""The shop with a cluster of Redis servers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.support.twins import Twins, opened_twins
from tests.redis_cluster import RunningCluster, running_cluster

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[RunningCluster]:
    async with running_cluster(tmp_path / "cluster") as running:
        yield running


@pytest.fixture
async def twins(mongo_uri: str, cluster: RunningCluster, tmp_path: Path) -> AsyncIterator[Twins]:
    async with opened_twins(
        tmp_path / "twins", mongo_uri, cluster.url, SHOP_REDIS_CLUSTER="true"
    ) as running:
        yield running


async def test_the_shop_reads_from_a_cluster_shows_each_write_and_survives_a_server(
    twins: Twins, cluster: RunningCluster
) -> None:
    for _ in range(3):
        await twins.is_cached(await twins.change())
    await cluster.lose_first()
    sight = await twins.change()
    await twins.become("open")
    seen, sources = await twins.look()
    assert seen == [sight, sight]
    assert set(sources) == {"mongo"}
