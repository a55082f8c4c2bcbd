"""A Redis of one's own that is broken for a while, in each way that its users must bear."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from bench.loading_redis import loading_redis
from bench.proxy import Proxy, opened_proxy
from services.stack.folder import DataFolder
from services.stack.ports import LOOPBACK, claimed_ports
from services.stack.stores import Store, running_redis

_SNAPSHOT: Final = "dump.rdb"
_SNAPSHOT_AGE_S: Final = 0.5


@dataclass(slots=True)
class BrittleRedis:
    """A server that is reached through a proxy. Each way to break it lasts for a block."""

    folder: DataFolder
    port: int
    proxy: Proxy
    life: AsyncExitStack
    store: Store

    @property
    def url(self) -> str:
        """Where the shop finds it."""
        return f"redis://{LOOPBACK}:{self.proxy.port}/0"

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Redis]:
        """Reach the server past the proxy."""
        async with Redis(host=LOOPBACK, port=self.port, decode_responses=True) as client:
            yield client

    async def kill(self) -> None:
        """End the server without a word."""
        self.store.child.process.kill()
        await self.store.child.process.wait()
        await self.life.aclose()

    async def start(self) -> None:
        """Start it again, with what it has saved."""
        self.store = await self.life.enter_async_context(running_redis(self.folder, self.port))

    @asynccontextmanager
    async def killed(self) -> AsyncIterator[None]:
        """Let nothing listen; it comes back empty."""
        await self.kill()
        try:
            yield
        finally:
            await self.start()

    @asynccontextmanager
    async def restored(self) -> AsyncIterator[None]:
        """Let nothing listen; it comes back with what it held half a second before."""
        async with self.client() as client:
            await client.save()
        await asyncio.sleep(_SNAPSHOT_AGE_S)  # what is forgotten now is in the snapshot
        try:
            async with self.killed():
                yield
        finally:
            (self.folder.redis / _SNAPSHOT).unlink()

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """Let it take connections and answer nothing."""
        process = self.store.child.process
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    @asynccontextmanager
    async def slow(self) -> AsyncIterator[None]:
        """Let each answer come seconds later, even to a process that pauses."""
        self.proxy.delay_s = 3.0
        try:
            yield
        finally:
            self.proxy.delay_s = 0.0
            await self.proxy.lead_to(LOOPBACK, self.port)  # nobody waits for what is late

    def cut_off(self) -> AbstractAsyncContextManager[None]:
        """Break connections within the first answer, which commands get that were obeyed."""
        return cut_off(self.proxy)

    @asynccontextmanager
    async def loading(self) -> AsyncIterator[None]:
        """Let it say that it still reads what it had saved."""
        async with loading_redis() as port:
            await self.proxy.lead_to(LOOPBACK, port)
            try:
                yield
            finally:
                await self.proxy.lead_to(LOOPBACK, self.port)

    @asynccontextmanager
    async def replica(self) -> AsyncIterator[None]:
        """Make it the replica of a server that is gone."""
        with claimed_ports(1) as (nowhere,):
            async with self.client() as client:
                await client.replicaof(LOOPBACK, nowhere)
                try:
                    yield
                finally:
                    await client.replicaof("NO", "ONE")

    @asynccontextmanager
    async def orphaned(self) -> AsyncIterator[None]:
        """Do the same, and let it not show what may be stale."""
        async with self._configured({"replica-serve-stale-data": "no"}), self.replica():
            yield

    @asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        """Leave it no memory, and let it evict nothing."""
        settings = {"maxmemory-policy": "noeviction", "maxmemory": "1"}
        async with self._configured(settings):
            yield

    @asynccontextmanager
    async def _configured(self, settings: Mapping[str, str]) -> AsyncIterator[None]:
        async with self.client() as client:
            before: Any = await client.config_get(*settings)
            await _configure(client, settings)
            try:
                yield
            finally:
                await _configure(client, before)


Fault = Callable[[BrittleRedis], AbstractAsyncContextManager[None]]

FAULTS: Final[Mapping[str, Fault]] = {
    "kill": BrittleRedis.killed,
    "snapshot": BrittleRedis.restored,
    "freeze": BrittleRedis.frozen,
    "slow": BrittleRedis.slow,
    "cut-off": BrittleRedis.cut_off,
    "loading": BrittleRedis.loading,
    "replica": BrittleRedis.replica,
    "orphan": BrittleRedis.orphaned,
    "full": BrittleRedis.full,
}
"""What may become of a Redis, to all who use it alike."""


@asynccontextmanager
async def cut_off(proxy: Proxy) -> AsyncIterator[None]:
    """Break connections within the first answer, which commands get that were obeyed."""
    proxy.break_after = 16  # the answers to what the client says about itself take 10
    try:
        yield
    finally:
        proxy.break_after = None


async def _configure(client: Redis, settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        await client.config_set(name, value)


@asynccontextmanager
async def brittle_redis(folder: DataFolder) -> AsyncIterator[BrittleRedis]:
    """Run a server that may be broken."""
    async with AsyncExitStack() as outer:
        (port,) = outer.enter_context(claimed_ports(1))
        proxy = await outer.enter_async_context(opened_proxy(LOOPBACK, port))
        life = await outer.enter_async_context(AsyncExitStack())
        store = await life.enter_async_context(running_redis(folder, port))
        yield BrittleRedis(folder, port, proxy, life, store)
