"""A Redis server, a replica of it and three sentinels that watch them, on loopback."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.stack.binaries import find_redis_server
from services.stack.folder import DataFolder
from services.stack.ports import LOOPBACK, claimed_ports
from services.stack.processes import Child, running

WATCHED: Final = "shop-primary"
PASSWORD: Final = "of-the-servers"
SENTINEL_PASSWORD: Final = "of-the-sentinels"
_SENTINELS: Final = 3
_QUORUM: Final = 2
_READY_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.05


@dataclass(slots=True)
class Server:
    """A server or a sentinel: its port, its process, and how it was started."""

    port: int
    password: str
    command_line: Sequence[str]
    log: Path
    life: AsyncExitStack
    child: Child

    async def command(self, *words: str | int) -> Any:
        """Give it a command."""
        async with Redis(
            host=LOOPBACK,
            port=self.port,
            password=self.password,
            decode_responses=True,
            protocol=2,
        ) as client:
            return await client.execute_command(*words)  # type: ignore[no-untyped-call]

    async def kill(self) -> None:
        """End it without a word."""
        self.child.process.kill()
        await self.child.process.wait()
        await self.life.aclose()

    async def start_again(self) -> None:
        """Start it as it was started at first, empty."""
        self.child = await self.life.enter_async_context(
            running("redis", self.command_line, self.log)
        )
        await _until_answering(self)


@dataclass(frozen=True, slots=True)
class Watched:
    """Two servers, the first of which is the primary at first, and the sentinels."""

    servers: tuple[Server, Server]
    sentinels: Sequence[Server]

    @property
    def url(self) -> str:
        """What the services are told."""
        hosts = ",".join(f"{LOOPBACK}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis://:{PASSWORD}@{hosts}/0"

    async def named(self) -> Counter[int]:
        """Return how many sentinels name each server, by its port."""
        asked = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", WATCHED)
        running_ones = [one for one in self.sentinels if one.child.process.returncode is None]
        answers = await asyncio.gather(*(one.command(*asked) for one in running_ones))
        return Counter(int(port) for _, port in answers)

    async def replaced_after(self, down_after_ms: int) -> None:
        """Have a primary replaced that does not answer for so long."""
        words = ("SENTINEL", "SET", WATCHED, "down-after-milliseconds", down_after_ms)
        await asyncio.gather(*(one.command(*words) for one in self.sentinels))

    async def becomes_primary(self, server: Server) -> None:
        """Wait until all sentinels that run name this server."""
        async with asyncio.timeout(_READY_WITHIN_S):
            while set(await self.named()) != {server.port}:  # noqa: ASYNC110 (other processes)
                await asyncio.sleep(_POLL_S)

    async def replicates(self, replica: Server, *, link: str = "up") -> None:
        """Wait until a server is a replica whose link to its primary is up, or down."""
        wanted = {"role:slave", f"master_link_status:{link}"}
        async with asyncio.timeout(_READY_WITHIN_S):
            while not wanted <= await _replication(replica):  # noqa: ASYNC110 (other processes)
                await asyncio.sleep(_POLL_S)

    async def stop_replication(self) -> None:
        """Let nothing that happens from now on reach the replica."""
        primary, replica = self.servers
        await replica.command("CONFIG", "SET", "masterauth", "no longer right")
        await primary.command("CLIENT", "KILL", "TYPE", "replica")
        await self.replicates(replica, link="down")


@asynccontextmanager
async def watched_servers(path: Path, down_after_ms: int) -> AsyncIterator[Watched]:
    """Run the servers and the sentinels; all know of each other when the block is entered.

    A primary that does not answer for ``down_after_ms`` is replaced.
    """
    async with AsyncExitStack() as opened:
        ports = opened.enter_context(claimed_ports(2 + _SENTINELS))
        primary = await _server(opened, path, ports[0])
        replica = await _server(opened, path, ports[1], "--replicaof", LOOPBACK, str(ports[0]))
        sentinels = [
            await _sentinel(opened, path, port, primary.port, down_after_ms) for port in ports[2:]
        ]
        watched = Watched((primary, replica), sentinels)
        await watched.replicates(replica)
        async with asyncio.timeout(_READY_WITHIN_S):
            for sentinel in sentinels:
                while not await _knows_all(sentinel):  # noqa: ASYNC110 (other processes)
                    await asyncio.sleep(_POLL_S)
        yield watched


async def _server(opened: AsyncExitStack, path: Path, port: int, *more: str) -> Server:
    options = [
        *("--requirepass", PASSWORD, "--masterauth", PASSWORD),
        *("--save", "", "--appendonly", "no"),
        *("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"),
        *more,
    ]
    return await _started(opened, path, port, PASSWORD, options)


async def _sentinel(
    opened: AsyncExitStack, path: Path, port: int, primary_port: int, down_after_ms: int
) -> Server:
    config = path / f"sentinel-{port}.conf"  # sentinels keep there what they learn
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(
        f"requirepass {SENTINEL_PASSWORD}\n"
        f"sentinel sentinel-pass {SENTINEL_PASSWORD}\n"
        f"sentinel monitor {WATCHED} {LOOPBACK} {primary_port} {_QUORUM}\n"
        f"sentinel auth-pass {WATCHED} {PASSWORD}\n"
        f"sentinel down-after-milliseconds {WATCHED} {down_after_ms}\n"
        f"sentinel failover-timeout {WATCHED} 3000\n"
    )
    return await _started(opened, path, port, SENTINEL_PASSWORD, ["--sentinel"], [str(config)])


async def _started(
    opened: AsyncExitStack,
    path: Path,
    port: int,
    password: str,
    options: Sequence[str],
    config: Sequence[str] = (),
) -> Server:
    folder = DataFolder(path / str(port))
    folder.prepare()
    command_line = [
        str(await find_redis_server()),
        *config,
        *("--bind", LOOPBACK, "--port", str(port), "--dir", str(folder.redis)),
        *options,
    ]
    life = await opened.enter_async_context(AsyncExitStack())
    log = folder.log("redis")
    child = await life.enter_async_context(running("redis", command_line, log))
    server = Server(port, password, command_line, log, life, child)
    await _until_answering(server)
    return server


async def _until_answering(server: Server) -> None:
    async with asyncio.timeout(_READY_WITHIN_S):
        while True:
            try:
                await server.command("PING")
            except (RedisError, OSError):
                await asyncio.sleep(_POLL_S)
            else:
                return


async def _replication(server: Server) -> set[str]:
    fields: dict[str, Any] = await server.command("INFO", "replication")
    return {f"{name}:{value}" for name, value in fields.items()}


async def _knows_all(sentinel: Server) -> bool:
    """Say whether it knows the replica and the other sentinels."""
    words: list[str] = await sentinel.command("SENTINEL", "MASTER", WATCHED)
    told = dict(zip(words[::2], words[1::2], strict=True))
    known = (int(told["num-slaves"]), int(told["num-other-sentinels"]))
    return known == (1, _SENTINELS - 1)
