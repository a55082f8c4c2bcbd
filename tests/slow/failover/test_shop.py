"""A replica set that changes its primary under customers, at two processes of each service.

``make test-slow ARGS="-s tests/slow/failover/test_shop.py"`` tells how long writes paused.
``FAILOVER_KILLS`` is how often the primary is killed,
``FAILOVER_ELECTION_MS`` the set's electionTimeoutMillis.
"""

import os
import sys
import time
from collections.abc import AsyncIterator, Mapping

import pytest

from tests.e2e.support.failover_load import Load, Told, prepared_load
from tests.e2e.support.twins import Twins, opened_twins
from tests.replica_set import ELECTION_TIMEOUT_MS, ReplicaSet, running_replica_set

KILLS = int(os.environ.get("FAILOVER_KILLS", "1"))
ELECTION_MS = int(os.environ.get("FAILOVER_ELECTION_MS", str(ELECTION_TIMEOUT_MS)))
WITHIN_S = 60.0  # a write is acknowledged again; beside other tests everything takes longer
USUAL_READ_WITHIN_S = 0.5  # one that waited for MongoDB would take longer
UNDISTURBED_S = 1.0

pytestmark = pytest.mark.timeout(240 + KILLS * (ELECTION_MS // 1000 + 60))


@pytest.fixture(scope="module")
async def replica_set(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ReplicaSet]:
    async with running_replica_set(tmp_path_factory.mktemp("set"), ELECTION_MS) as running:
        yield running


@pytest.fixture(scope="module")
async def twins(
    replica_set: ReplicaSet, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Twins]:
    async with opened_twins(
        tmp_path_factory.mktemp("twins"),
        replica_set.uri,
        redis_url,
        SHOP_CACHE_CONTROL="any",
        SHOP_MONGO_TIMEOUT_MS="2000",
        SHOP_REDIS_TIMEOUT_MS="2000",
        SHOP_RECONCILE_AGE_S="5",
        SHOP_RECONCILE_INTERVAL_S="0.5",
    ) as running:
        yield running


@pytest.fixture
async def load(twins: Twins, replica_set: ReplicaSet) -> Load:
    await replica_set.whole()
    return await prepared_load(twins.shops)


def tell(line: str) -> None:
    sys.stdout.write(f"\n{line}")


def in_seconds(firsts: Mapping[str, float]) -> str:
    return ", ".join(f"{kind} after {pause_s:.2f} s" for kind, pause_s in sorted(firsts.items()))


def cached_reads(told: Told, since: float, until: float) -> list[float]:
    """Confirm that reads of what is cached were answered; return how long they took, sorted."""
    reads = [read for read in told.reads if since <= read[0] < until]
    answered = sorted(end - begin for begin, end, answered in reads if answered)
    assert reads
    assert len(answered) == len(reads)
    tell(f"cached reads meanwhile: {len(reads)}, answered: {len(answered)}")
    return answered


async def confirm_undisturbed(load: Load) -> None:
    """See writes of all kinds acknowledged for a while."""
    begin = time.monotonic()
    await load.acknowledged_after(begin + UNDISTURBED_S, WITHIN_S)


async def test_a_killed_primary_takes_no_acknowledged_write_along_and_cached_reads_go_on(
    load: Load, twins: Twins, replica_set: ReplicaSet
) -> None:
    async with load.running() as told:
        for _ in range(KILLS):
            await confirm_undisturbed(load)
            primary = await replica_set.primary()
            killed = time.monotonic()
            await primary.kill()
            firsts = await load.acknowledged_after(killed, WITHIN_S + ELECTION_MS / 1000)
            pause_s = max(firsts.values())
            took = cached_reads(told, killed, killed + pause_s)
            assert took[len(took) // 2] < USUAL_READ_WITHIN_S
            tell(f"election timeout {ELECTION_MS} ms, again acknowledged: {in_seconds(firsts)}")
            tell(f"they took {took[len(took) // 2] * 1e3:.1f} ms, at most {took[-1] * 1e3:.0f} ms")
            await confirm_undisturbed(load)
            await primary.start()
            await replica_set.whole()
    tell(f"refused and repeated: {dict(told.refused)}; orders: {len(told.orders)}")
    await load.confirm_kept(load.shops[0])


async def test_a_primary_that_hands_over_is_hardly_noticed(
    load: Load, replica_set: ReplicaSet
) -> None:
    async with load.running() as told:
        await confirm_undisturbed(load)
        begun = time.monotonic()
        await replica_set.step_down()
        firsts = await load.acknowledged_after(begun, WITHIN_S)
        await confirm_undisturbed(load)
    tell(f"handed over, again acknowledged: {in_seconds(firsts)}; refused {dict(told.refused)}")
    await load.confirm_kept(load.shops[0])


async def test_a_killed_secondary_costs_no_call(load: Load, replica_set: ReplicaSet) -> None:
    secondary, _ = await replica_set.secondaries()
    async with load.running() as told:
        await confirm_undisturbed(load)
        before = told.refused.copy()
        await secondary.kill()
        await confirm_undisturbed(load)
    assert told.refused == before
    await load.confirm_kept(load.shops[0])
    await secondary.start()
    await replica_set.whole()
