"""The cache on a cluster of Redis servers, as two processes see it."""

from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio.cluster import ClusterNode as ClientNode

from services.common.cache.breaker import BreakerState
from services.common.cache.shared import RedisValues, channel
from services.common.freshness import Freshness, Source
from services.common.mongo import Mongo
from services.common.redis import open_redis
from services.common.redis.servers import RedisOptions, RedisServers
from services.provision.logins import Login
from services.provision.redis_users import HEALTH, OPERATOR, users_file
from tests.integration.caches import granting_leases_for
from tests.integration.conftest import PATIENT_MS
from tests.integration.patience import PATIENT_S, until
from tests.integration.processes import (
    NAME,
    Process,
    database_of_names,
    new_names,
    process,
)
from tests.redis_cluster import ClusterNode, RunningCluster, running_cluster

TIMEOUT_MS = 1_000
MANY = [f"{number}" for number in range(100)]


def options(cluster: RunningCluster, timeout_ms: int = PATIENT_MS) -> RedisOptions:
    return RedisOptions(cluster.url, timeout_ms, cluster=True)


@pytest.fixture(scope="module")
async def database(mongo_uri: str) -> AsyncIterator[Mongo]:
    async with database_of_names(mongo_uri) as opened:
        yield opened


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningCluster]:
    async with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def truth() -> dict[str, str]:
    """A hundred names, whose ids no other test has."""
    return new_names(100)


@pytest.fixture
async def processes(
    truth: dict[str, str],
    database: Mongo,
    cluster: RunningCluster,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[Process, Process]]:
    granting_leases_for(PATIENT_S / 2, monkeypatch)
    async with (
        process(truth, database, options(cluster)) as one,
        process(truth, database, options(cluster)) as two,
    ):
        yield one, two


@pytest.fixture
async def servers(cluster: RunningCluster) -> AsyncIterator[RedisServers]:
    async with open_redis(options(cluster)) as opened:
        yield opened


async def keys_of(node: ClusterNode, value_ids: Collection[str]) -> set[str]:
    wanted = {NAME.key(value_id) for value_id in value_ids}
    return wanted & set(await node.command("KEYS", "name:*"))


async def test_a_hundred_values_of_all_servers_are_loaded_once_and_then_read_together(
    processes: tuple[Process, Process], truth: dict[str, str], cluster: RunningCluster
) -> None:
    one, two = processes
    names, source = await one.read(*truth)
    assert (names, source) == (truth, Source.MONGO)
    for reader in processes:
        await reader.answers_from(Source.REDIS, *truth)
    assert Counter(one.loaded + two.loaded) == Counter(list(truth))
    shares = [await keys_of(node, truth) for node in cluster.nodes]
    assert all(shares)
    assert sum(len(share) for share in shares) == len(truth)


async def test_a_batch_takes_one_round_trip_to_each_server(
    servers: RedisServers, truth: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[str] = Counter()
    execute_pipeline = ClientNode.execute_pipeline

    async def counting(node: ClientNode, commands: list[Any]) -> bool:
        asked[node.name] += 1
        return await execute_pipeline(node, commands)

    monkeypatch.setattr(ClientNode, "execute_pipeline", counting)
    answers = await RedisValues(servers, NAME).look(list(truth), "token")
    assert answers.keys() == truth.keys()
    assert list(asked.values()) == [1, 1, 1]


async def test_a_lease_stands_in_the_slot_of_its_value(cluster: RunningCluster) -> None:
    node = cluster.nodes[0]
    for value_id in MANY:
        keys = (NAME.key(value_id), NAME.lease_key(value_id))
        slot, lease_slot = [await node.command("CLUSTER", "KEYSLOT", key) for key in keys]
        assert slot == lease_slot


async def test_what_one_process_writes_leaves_the_memory_of_the_other(
    processes: tuple[Process, Process], truth: dict[str, str]
) -> None:
    one, two = processes
    await two.answers_from(Source.NEAR, *truth, freshness=Freshness.NEAR)
    for value_id in truth:
        await one.write(value_id, f"new {value_id}")

    async def told() -> bool:
        return (await two.read(*truth, freshness=Freshness.NEAR))[0] == truth

    await until(told)
    assert (await two.read(*truth))[0] == truth


@pytest.fixture
async def few_rights(cluster: RunningCluster) -> AsyncIterator[RedisOptions]:
    """The rights of a service in compose.yml, and those that docs/scaling.md adds for a cluster."""
    login = Login("test", "", NAME.prefix)
    passwords = dict.fromkeys((HEALTH, OPERATOR, login.name), "secret")
    _, *rules = users_file([login], passwords).splitlines()[-1].split()
    for node in cluster.nodes:
        await node.command("ACL", "SETUSER", *rules, "+command", "+cluster|slots")
        await node.command("ACL", "LOG", "RESET")
    url = cluster.url.replace("redis://", f"redis://{login.name}:secret@")
    yield RedisOptions(url, PATIENT_MS, cluster=True)
    for node in cluster.nodes:
        await node.command("ACL", "DELUSER", login.name)


async def test_a_process_asks_a_cluster_for_nothing_that_a_service_may_not(
    few_rights: RedisOptions, truth: dict[str, str], database: Mongo, cluster: RunningCluster
) -> None:
    async with process(truth, database, few_rights) as one:
        await one.answers_from(Source.REDIS, *truth)
        await one.answers_from(Source.NEAR, *truth, freshness=Freshness.NEAR)
        await one.write(next(iter(truth)), "new")
        await one.answers_from(Source.REDIS, *truth)
    assert [await node.command("ACL", "LOG") for node in cluster.nodes] == [[], [], []]


async def test_a_message_that_nobody_understands_does_not_end_the_listening(
    processes: tuple[Process, Process], truth: dict[str, str], cluster: RunningCluster
) -> None:
    one, _ = processes
    await one.answers_from(Source.NEAR, *truth, freshness=Freshness.NEAR)
    for message in ("nonsense", ""):
        await cluster.nodes[1].command("PUBLISH", channel(NAME.prefix), message)
        await one.answers_from(Source.REDIS, *truth, freshness=Freshness.NEAR)
        await one.answers_from(Source.NEAR, *truth, freshness=Freshness.NEAR)


async def test_what_cannot_be_read_is_loaded_again(
    processes: tuple[Process, Process], truth: dict[str, str], cluster: RunningCluster
) -> None:
    one, _ = processes
    await one.answers_from(Source.REDIS, *truth)
    for node in cluster.nodes:
        for key in await keys_of(node, truth):
            await node.command("SET", key, "no JSON")
    await one.answers_from(Source.REDIS, *truth)


async def test_all_values_can_be_forgotten_at_once(
    servers: RedisServers,
    processes: tuple[Process, Process],
    truth: dict[str, str],
    cluster: RunningCluster,
) -> None:
    one, _ = processes
    await one.answers_from(Source.REDIS, *truth)
    await RedisValues(servers, NAME).forget_all()
    assert [await keys_of(node, truth) for node in cluster.nodes] == [set(), set(), set()]


async def test_a_slot_that_moves_is_followed(
    processes: tuple[Process, Process], truth: dict[str, str], cluster: RunningCluster
) -> None:
    for reader in processes:
        await reader.answers_from(Source.REDIS, *truth)
    source, target, _ = cluster.nodes
    for key in await keys_of(source, truth):
        await cluster.move_slot(await source.command("CLUSTER", "KEYSLOT", key), source, target)
    for reader in processes:
        await reader.answers_from(Source.REDIS, *truth)
    assert await keys_of(source, truth) == set()
    one, two = processes
    value_id = next(iter(truth))
    await one.write(value_id, "moved")
    assert (await two.read(value_id))[0] == {value_id: "moved"}


async def test_while_a_server_is_gone_reads_come_from_mongodb_until_others_have_its_slots(
    truth: dict[str, str], database: Mongo, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(running_cluster(tmp_path))
        reader = await stack.enter_async_context(
            process(truth, database, options(cluster, TIMEOUT_MS))
        )
        await reader.answers_from(Source.REDIS, *truth)
        await cluster.lose_first()

        async def given_up() -> bool:
            assert (await reader.read(*truth))[0] == truth
            return reader.states == {BreakerState.OPEN.value}

        await until(given_up)
        await reader.write(next(iter(truth)), "written meanwhile")
        assert await reader.read(*truth) == (truth, Source.MONGO)

        await cluster.do_without_first()
        await reader.answers_from(Source.REDIS, *truth)
        await reader.answers_from(Source.NEAR, *truth, freshness=Freshness.NEAR)
