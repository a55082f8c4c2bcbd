"""A cluster of three Redis servers on loopback, without replicas."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from services.stack.binaries import find_redis_server
from services.stack.folder import DataFolder
from services.stack.ports import LOOPBACK, claimed_ports
from services.stack.processes import Child, running

_SLOTS: Final = 16_384
_NODES: Final = 3
_READY_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """One primary: its port, the port of the cluster's bus, and its process."""

    port: int
    bus_port: int
    child: Child

    async def command(self, *words: str | int) -> Any:
        """Give this server a command."""
        async with Redis(
            host=LOOPBACK, port=self.port, decode_responses=True, protocol=2
        ) as client:
            return await client.execute_command(*words)  # type: ignore[no-untyped-call]

    async def kill(self) -> None:
        """End the server without a word."""
        self.child.process.kill()
        await self.child.process.wait()

    async def becomes(self, *lines: str) -> None:
        """Wait until the server says all this of its replication."""
        async with asyncio.timeout(_READY_WITHIN_S):
            while not set(lines) <= await self._replication():  # noqa: ASYNC110 (it does so itself)
                await asyncio.sleep(_POLL_S)

    async def _replication(self) -> set[str]:
        fields: dict[str, Any] = await self.command("INFO", "replication")
        return {f"{name}:{value}" for name, value in fields.items()}


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """The servers, each with a third of the slots."""

    nodes: Sequence[ClusterNode]

    @property
    def url(self) -> str:
        """The address of any one."""
        return f"redis://{LOOPBACK}:{self.nodes[0].port}/0"

    async def move_slot(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """Make a slot another server's, without what stands in it."""
        for key in await source.command("CLUSTER", "GETKEYSINSLOT", slot, 1_000):
            await source.command("DEL", key)
        target_id = await target.command("CLUSTER", "MYID")
        for node in (target, source):
            await node.command("CLUSTER", "SETSLOT", slot, "NODE", target_id)

    async def lose_first(self) -> None:
        """Kill the first server."""
        await self.nodes[0].kill()

    async def do_without_first(self) -> None:
        """Give the slots of the first server, which was killed, to the second."""
        _, heir, other = self.nodes
        first, last = _share(0)
        gone = await _id_of(heir, self.nodes[0])
        for node in (heir, other):
            await node.command("CLUSTER", "FORGET", gone)
        await heir.command("CLUSTER", "ADDSLOTSRANGE", first, last)


@asynccontextmanager
async def heir_of_first(path: Path, cluster: RunningCluster) -> AsyncIterator[ClusterNode]:
    """Run a replica of the first server; it has all that this has when the block is entered."""
    first = cluster.nodes[0]
    async with AsyncExitStack() as opened:
        port, bus_port = opened.enter_context(claimed_ports(2))
        heir = await opened.enter_async_context(_node(DataFolder(path / str(port)), port, bus_port))
        await _answering(heir)
        await heir.command("CLUSTER", "MEET", LOOPBACK, first.port, first.bus_port)
        async with asyncio.timeout(_READY_WITHIN_S):
            await _replicating(heir, await first.command("CLUSTER", "MYID"))
        await heir.becomes("role:slave", "master_link_status:up")
        yield heir


async def stop_replication(primary: ClusterNode, replica: ClusterNode) -> None:
    """Let nothing that happens from now on reach the replica."""
    await replica.command("CONFIG", "SET", "masteruser", "nobody", "masterauth", "knows")
    await primary.command("CLIENT", "KILL", "TYPE", "replica")
    await replica.becomes("role:slave", "master_link_status:down")


@asynccontextmanager
async def running_cluster(path: Path) -> AsyncIterator[RunningCluster]:
    """Run a cluster; all slots are served when the block is entered.

    A server that is killed takes only its own slots away.
    """
    async with AsyncExitStack() as opened:
        ports = opened.enter_context(claimed_ports(2 * _NODES))
        nodes = [
            await opened.enter_async_context(_node(DataFolder(path / str(port)), port, bus_port))
            for port, bus_port in zip(ports[:_NODES], ports[_NODES:], strict=True)
        ]
        async with asyncio.timeout(_READY_WITHIN_S):
            await _join(nodes)
        yield RunningCluster(nodes)


@asynccontextmanager
async def _node(folder: DataFolder, port: int, bus_port: int) -> AsyncIterator[ClusterNode]:
    folder.prepare()
    command = [
        str(await find_redis_server()),
        *("--bind", LOOPBACK, "--port", str(port), "--dir", str(folder.redis)),
        *("--save", "", "--appendonly", "no"),
        *("--cluster-enabled", "yes", "--cluster-port", str(bus_port)),
        *("--repl-diskless-sync-delay", "0"),
        *("--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"),
        # However long ago a replica lost its primary, it takes its place.
        *("--cluster-replica-validity-factor", "0"),
    ]
    async with running("redis", command, folder.log("redis")) as child:
        yield ClusterNode(port, bus_port, child)


async def _join(nodes: Sequence[ClusterNode]) -> None:
    """Give each server its slots, and make all know each other."""
    for number, node in enumerate(nodes):
        await _answering(node)
        await node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        await node.command("CLUSTER", "ADDSLOTSRANGE", *_share(number))
    for node in nodes[1:]:
        await nodes[0].command("CLUSTER", "MEET", LOOPBACK, node.port, node.bus_port)
    for node in nodes:
        while not _is_whole(await node.command("CLUSTER", "INFO")):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)


def _share(number: int) -> tuple[int, int]:
    """Return the first and the last of a server's slots."""
    return _SLOTS * number // _NODES, _SLOTS * (number + 1) // _NODES - 1


def _is_whole(info: str) -> bool:
    wanted = {"cluster_state:ok", f"cluster_slots_assigned:{_SLOTS}", f"cluster_size:{_NODES}"}
    return wanted <= set(info.splitlines())


async def _id_of(asked: ClusterNode, node: ClusterNode) -> str:
    """Return the id of a server as another one knows it."""
    lines: str = await asked.command("CLUSTER", "NODES")
    of_node = next(line for line in lines.splitlines() if f"{LOOPBACK}:{node.port}@" in line)
    return of_node.split()[0]


async def _replicating(heir: ClusterNode, primary_id: str) -> None:
    """Make a server the replica of another, as soon as it has heard of that."""
    while True:
        try:
            await heir.command("CLUSTER", "REPLICATE", primary_id)
        except ResponseError:
            await asyncio.sleep(_POLL_S)
        else:
            return


async def _answering(node: ClusterNode) -> None:
    while True:
        try:
            await node.command("PING")
        except (RedisError, OSError):
            await asyncio.sleep(_POLL_S)
        else:
            return
