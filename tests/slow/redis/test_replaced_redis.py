"""Another Redis takes over that holds what was forgotten elsewhere: nobody ever reads that."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from services.common.freshness import Freshness, Source
from services.common.mongo import Mongo
from services.common.redis import open_redis
from services.common.redis.servers import RedisOptions
from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports
from services.stack.stores import Store, running_redis
from tests.integration.conftest import PATIENT_MS
from tests.integration.patience import until
from tests.integration.processes import (
    NAME,
    Process,
    database_of_names,
    new_names,
    process,
)
from tests.redis_cluster import (
    ClusterNode,
    RunningCluster,
    heir_of_first,
    running_cluster,
    stop_replication,
)
from tests.redis_sentinel import SENTINEL_PASSWORD, WATCHED, Server, Watched, watched_servers

# A sentinel that stood still for two seconds replaces nobody for half a minute.
pytestmark = pytest.mark.timeout(300)

TIMEOUT_MS = 1_000
DOWN_AFTER_MS = 2_000
NEW = "written last"

Command = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
async def database(mongo_uri: str) -> AsyncIterator[Mongo]:
    async with database_of_names(mongo_uri) as opened:
        yield opened


@pytest.fixture
def truth() -> dict[str, str]:
    """So many names that each server of a cluster has some, but for one time in 10^10."""
    return new_names(60)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    async with watched_servers(tmp_path / "watched", DOWN_AFTER_MS) as running:
        yield running


def options(watched: Watched) -> RedisOptions:
    return RedisOptions(
        watched.url, TIMEOUT_MS, sentinel=WATCHED, sentinel_password=SENTINEL_PASSWORD
    )


@pytest.fixture
async def pair(
    truth: dict[str, str], database: Mongo, watched: Watched
) -> AsyncIterator[tuple[Process, Process]]:
    async with (
        process(truth, database, options(watched)) as one,
        process(truth, database, options(watched)) as two,
    ):
        yield one, two


@asynccontextmanager
async def reading(readers: tuple[Process, ...], truth: dict[str, str]) -> AsyncIterator[None]:
    """Read all the while, everything, from anywhere but a process's memory: it is the truth."""

    async def read() -> None:
        while True:
            for reader in readers:
                assert (await reader.read(*truth))[0] == truth
            await asyncio.sleep(0.005)

    task = asyncio.create_task(read())
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def holds(command: Command, value_id: str) -> None:
    """Wait until a value stands in a server."""

    async def is_there() -> bool:
        return bool(await command("KEYS", NAME.key(value_id)))

    await until(is_there)


async def runs_scripts(command: Command) -> bool:
    """Say whether a server was given what the cache does since its statistics were reset."""
    return "cmdstat_eval" in await command("INFO", "commandstats")


async def is_adopted(server: Server) -> None:
    """Wait until a server is trusted by somebody, when nobody trusts another any more."""
    run_id = (await server.command("INFO", "server"))["run_id"]

    async def is_so() -> bool:
        return run_id in (await server.command("GET", f"adopted:{NAME.prefix}") or "")

    await until(is_so)


async def test_what_a_promoted_replica_was_not_told_is_never_read(
    pair: tuple[Process, Process], truth: dict[str, str], watched: Watched
) -> None:
    primary, replica = watched.servers
    first = next(iter(truth))
    for reader in pair:
        await reader.answers_from(Source.REDIS, *truth)
    await holds(replica.command, first)
    await watched.stop_replication()
    await pair[0].write(first, NEW)
    await holds(replica.command, first)
    async with reading(pair, truth):
        killed_at = time.monotonic()
        await primary.kill()
        await pair[0].answers_from(Source.MONGO, *truth)
        await pair[0].answers_from(Source.REDIS, *truth)
        took_s = time.monotonic() - killed_at
        print(f"read from Redis again {took_s:.2f} s after its end")  # noqa: T201
        for reader in pair:
            await reader.answers_from(Source.REDIS, *truth)
            await reader.answers_from(Source.NEAR, *truth, freshness=Freshness.NEAR)
    await pair[1].write(first, "seen by all")
    assert (await pair[0].read(first))[0] == {first: "seen by all"}


async def test_a_primary_that_is_replaced_is_told_nothing_more_though_it_knows_of_nothing(
    pair: tuple[Process, Process], truth: dict[str, str], watched: Watched
) -> None:
    former, heir = watched.servers
    for reader in pair:
        await reader.answers_from(Source.REDIS, *truth)
    async with reading(pair, truth):
        await watched.sentinels[0].command("SENTINEL", "FAILOVER", WATCHED)
        await is_adopted(heir)
        for reader in pair:
            await reader.answers_from(Source.REDIS, *truth)
    await former.command("CONFIG", "RESETSTAT")
    for value_id in truth:
        await pair[0].write(value_id, NEW)
        assert (await pair[1].read(value_id))[0] == {value_id: NEW}
    for reader in pair:
        await reader.answers_from(Source.REDIS, *truth)
    assert not await runs_scripts(former.command)


async def test_a_server_that_was_a_replica_for_a_moment_is_another_than_before(
    tmp_path: Path,
) -> None:
    async with own_redis(tmp_path) as (store, _), open_redis(patient(store)) as servers:
        before = await servers.identity()
        assert await servers.identity() == before
        async with Redis.from_url(store.uri) as client:
            await client.replicaof("127.0.0.1", "1")
            with pytest.raises(RedisConnectionError, match="is a replica"):
                await servers.identity()
            await client.replicaof("NO", "ONE")
        assert await servers.identity() != before


async def test_without_a_majority_of_the_sentinels_redis_is_not_used_though_it_answers(
    pair: tuple[Process, Process], truth: dict[str, str], watched: Watched
) -> None:
    one, _ = pair
    await one.answers_from(Source.REDIS, *truth)
    for sentinel in watched.sentinels[1:]:
        await sentinel.kill()
    await one.answers_from(Source.MONGO, *truth)
    await one.write(next(iter(truth)), NEW)
    await one.answers_from(Source.MONGO, *truth, freshness=Freshness.NEAR)
    await watched.sentinels[1].start_again()
    await one.answers_from(Source.REDIS, *truth)


async def is_killed(cluster: RunningCluster, _heir: ClusterNode) -> None:
    await cluster.lose_first()


async def is_put_aside(_cluster: RunningCluster, heir: ClusterNode) -> None:
    await heir.command("CLUSTER", "FAILOVER", "TAKEOVER")


@pytest.mark.parametrize("loses_its_place", [is_killed, is_put_aside])
async def test_what_a_promoted_replica_in_a_cluster_was_not_told_is_never_read(
    truth: dict[str, str],
    database: Mongo,
    tmp_path: Path,
    loses_its_place: Callable[[RunningCluster, ClusterNode], Awaitable[None]],
) -> None:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(running_cluster(tmp_path / "cluster"))
        first = cluster.nodes[0]
        heir = await stack.enter_async_context(heir_of_first(tmp_path / "heir", cluster))
        redis = RedisOptions(cluster.url, TIMEOUT_MS, cluster=True)
        one = await stack.enter_async_context(process(truth, database, redis))
        two = await stack.enter_async_context(process(truth, database, redis))
        for reader in (one, two):
            await reader.answers_from(Source.REDIS, *truth)
        lost = await ids_in(first, truth)
        assert lost
        for value_id in lost:
            await holds(heir.command, value_id)
        await stop_replication(first, heir)
        for value_id in lost:
            await one.write(value_id, NEW)
        async with reading((one, two), truth):
            await loses_its_place(cluster, heir)
            await until(lambda: runs_scripts(heir.command))
            for reader in (one, two):
                await reader.answers_from(Source.REDIS, *truth)


async def test_what_a_snapshot_brings_back_is_never_read(
    truth: dict[str, str], database: Mongo, tmp_path: Path
) -> None:
    first = next(iter(truth))
    async with own_redis(tmp_path) as (store, restarted):
        redis = patient(store)
        async with (
            process(truth, database, redis) as one,
            process(truth, database, redis) as two,
        ):
            for reader in (one, two):
                await reader.answers_from(Source.REDIS, *truth)
            await saved(store)
            await one.write(first, NEW)
            async with reading((one, two), truth):
                await restarted()
                for reader in (one, two):
                    await reader.answers_from(Source.REDIS, *truth)


async def test_what_a_snapshot_brings_back_while_no_process_runs_is_never_read(
    truth: dict[str, str], database: Mongo, tmp_path: Path
) -> None:
    first = next(iter(truth))
    async with own_redis(tmp_path) as (store, restarted):
        redis = patient(store)
        async with process(truth, database, redis) as one:
            await one.answers_from(Source.REDIS, *truth)
            await saved(store)
            await one.write(first, NEW)
        await restarted()
        async with process(truth, database, redis) as one:
            await one.answers_from(Source.REDIS, *truth)


async def test_what_redis_holds_stays_there_when_processes_come_and_go(
    truth: dict[str, str], database: Mongo, redis_url: str
) -> None:
    redis = RedisOptions(redis_url, PATIENT_MS)
    async with process(truth, database, redis) as one:
        await one.answers_from(Source.REDIS, *truth)
    async with process(truth, database, redis) as one:
        assert (await one.read(*truth))[1] is Source.REDIS
        assert not one.loaded


async def ids_in(node: ClusterNode, truth: dict[str, str]) -> list[str]:
    """Return the ids whose values stand in a server of a cluster."""
    there = set(await node.command("KEYS", NAME.key("*")))
    return [value_id for value_id in truth if NAME.key(value_id) in there]


def patient(store: Store) -> RedisOptions:
    return RedisOptions(store.uri, PATIENT_MS)


async def saved(store: Store) -> None:
    """Write down what Redis holds; it comes back with a restart."""
    async with Redis.from_url(store.uri) as client:
        await client.save()


@asynccontextmanager
async def own_redis(path: Path) -> AsyncIterator[tuple[Store, Callable[[], Awaitable[None]]]]:
    """Run a server, and return it with a way to kill it and start it again at once."""
    folder = DataFolder(path / "redis")
    folder.prepare()
    async with AsyncExitStack() as stack:
        (port,) = stack.enter_context(claimed_ports(1))
        store = await stack.enter_async_context(running_redis(folder, port))

        async def restart() -> None:
            store.child.process.kill()
            await store.child.process.wait()
            await stack.enter_async_context(running_redis(folder, port))

        yield store, restart
