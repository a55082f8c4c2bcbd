"""A cluster of three Redis servers on loopback, without replicas."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.stack.binaries import find_redis_server
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

    def client(self) -> Redis:
        """Return a client of this server alone."""
        return Redis(host=LOOPBACK, port=self.port, decode_responses=True, protocol=2)

    async def command(self, *words: str | int) -> Any:
        """Give this server a command."""
        async with self.client() as client:
            return await client.execute_command(*words)  # type: ignore[no-untyped-call]

    async def kill(self) -> None:
        """End the server without a word."""
        self.child.process.kill()
        await self.child.process.wait()


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
        target_id = await target.command("CLUSTER", "MYID")
        for key in await source.command("CLUSTER", "GETKEYSINSLOT", slot, 1_000):
            await source.command("DEL", key)
        for node in (target, source, *self.nodes):
            await node.command("CLUSTER", "SETSLOT", slot, "NODE", target_id)


@asynccontextmanager
async def running_cluster(path: Path) -> AsyncIterator[RunningCluster]:
    """Run a cluster; all slots are served when the block is entered.

    A server that is killed takes only its own slots away.
    """
    async with AsyncExitStack() as opened:
        ports = opened.enter_context(claimed_ports(2 * _NODES))
        nodes = [
            await opened.enter_async_context(_node(path / str(port), port, bus_port))
            for port, bus_port in zip(ports[:_NODES], ports[_NODES:], strict=True)
        ]
        async with asyncio.timeout(_READY_WITHIN_S):
            await _join(nodes)
        yield RunningCluster(nodes)


@asynccontextmanager
async def _node(path: Path, port: int, bus_port: int) -> AsyncIterator[ClusterNode]:
    path.mkdir(parents=True)
    command = [
        str(await find_redis_server()),
        *("--bind", LOOPBACK, "--port", str(port), "--dir", str(path)),
        *("--save", "", "--appendonly", "no"),
        *("--cluster-enabled", "yes", "--cluster-port", str(bus_port)),
        *("--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"),
    ]
    async with running(f"redis-{port}", command, path / "log") as child:
        yield ClusterNode(port, bus_port, child)


async def _join(nodes: Sequence[ClusterNode]) -> None:
    """Give each server its slots, and make all know each other."""
    for number, node in enumerate(nodes):
        await _answering(node)
        first, end = (_SLOTS * n // len(nodes) for n in (number, number + 1))
        await node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        await node.command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
    for node in nodes[1:]:
        await nodes[0].command("CLUSTER", "MEET", LOOPBACK, node.port, node.bus_port)
    for node in nodes:
        while not _is_whole(await node.command("CLUSTER", "INFO"), len(nodes)):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)


def _is_whole(info: Mapping[str, str], size: int) -> bool:
    return info["cluster_state"] == "ok" and info["cluster_slots_assigned"] == str(_SLOTS) and (
        info["cluster_size"] == str(size)
    )


async def _answering(node: ClusterNode) -> None:
    while True:
        try:
            await node.command("PING")
        except (RedisError, OSError):
            await asyncio.sleep(_POLL_S)
        else:
            return
