"""A shop to prove the cache with: stores of its own, and two processes of each service."""

import os
import signal
from asyncio import gather
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.prove_cache.links import RunningLink, running_link
from services.common.settings import PREFIX
from services.stack.credentials import Credentials, open_credentials
from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports
from services.stack.processes import Child
from services.stack.services import SERVICES, ServicePorts, Shop, running_service
from services.stack.stores import Store, running_mongod, running_redis

TWINS: Final = 2
_SETTINGS: Final = {
    "SHOP_CACHE": "near",
    "SHOP_CACHE_CONTROL": "any",
    "SHOP_CONCURRENCY_LIMIT": "off",  # a read refused for load would say nothing about the cache
    "SHOP_RECONCILE_AGE_S": "3600",  # an interrupted checkout is repeated by its customer
    "SHOP_LOG_LEVEL": "warning",
}


@dataclass(slots=True)
class Life:
    """A process that can be ended and started again."""

    child: Child
    stack: AsyncExitStack


@dataclass(slots=True)
class Twins:
    """The running shop. Processes are named ``<service>-<0 or 1>``."""

    folder: DataFolder
    credentials: Credentials
    redis_port: int
    shops: list[Shop] = field(default_factory=list)
    links: Mapping[str, RunningLink] = field(default_factory=dict)
    redis: Life | None = None
    services: dict[str, Life] = field(default_factory=dict)

    async def start_redis(self) -> Store:
        """Start Redis, empty."""
        stack = AsyncExitStack()
        store = await stack.enter_async_context(running_redis(self.folder, self.redis_port))
        self.redis = Life(store.child, stack)
        return store

    async def kill_redis(self) -> None:
        """End Redis at once."""
        if self.redis is not None:
            await _kill(self.redis)
            self.redis = None

    def signal_redis(self, number: signal.Signals) -> None:
        """Send a signal to Redis."""
        if self.redis is not None:
            self.redis.child.process.send_signal(number)

    async def start_service(self, name: str) -> None:
        """Start a service process; return when it serves."""
        service, _, index = name.partition("-")
        folder = DataFolder(self.folder.path / name)
        folder.prepare()
        stack = AsyncExitStack()
        shop = self._shop_of(service, int(index))
        child = await stack.enter_async_context(running_service(folder, shop, service))
        self.services[name] = Life(child, stack)

    async def kill_service(self, name: str) -> None:
        """End a service process at once."""
        await _kill(self.services.pop(name))

    async def stop(self) -> None:
        """End everything."""
        await gather(*(life.stack.aclose() for life in self.services.values()))
        if self.redis is not None:
            self.signal_redis(signal.SIGCONT)
            await self.redis.stack.aclose()

    def _shop_of(self, service: str, index: int) -> Shop:
        """Return how to start a process; the second of a service may have a link of its own."""
        shop = self.shops[index]
        link = self.links.get(service) if index else None
        if link is None:
            return shop
        return Shop(
            mongo_uri=shop.mongo_uri,
            redis_url=link.uri,
            credentials=shop.credentials,
            ports=shop.ports,
            variables=shop.variables,
        )


async def _kill(life: Life) -> None:
    life.child.process.kill()
    await life.child.process.wait()
    await life.stack.aclose()


@asynccontextmanager
async def running_twins(
    path: Path, settings: Mapping[str, str], *, linked: bool
) -> AsyncIterator[Twins]:
    """Run the shop until the end; ``linked`` gives second processes a link that can break."""
    folder = DataFolder(path)
    folder.prepare()
    async with AsyncExitStack() as opened:
        redis_port, *ports = opened.enter_context(claimed_ports(1 + TWINS * len(SERVICES)))
        mongo = await opened.enter_async_context(running_mongod(folder))
        twins = Twins(folder, open_credentials(folder.secrets), redis_port)
        opened.push_async_callback(twins.stop)
        redis = await twins.start_redis()
        if linked:
            twins.links = {
                service: await opened.enter_async_context(running_link(redis_port))
                for service in SERVICES
            }
        for index in range(TWINS):
            own = ServicePorts(*ports[index * len(SERVICES) : (index + 1) * len(SERVICES)])
            twins.shops.append(
                Shop(mongo.uri, redis.uri, twins.credentials, own, variables=_inherited(settings))
            )
        names = [f"{service}-{index}" for service in SERVICES for index in range(TWINS)]
        await twins.start_service(names[0])  # it creates the administrator
        await gather(*(twins.start_service(name) for name in names[1:]))
        yield twins


def _inherited(settings: Mapping[str, str]) -> dict[str, str]:
    own = {name: v for name, v in os.environ.items() if not name.startswith(PREFIX)}
    return {**own, **_SETTINGS, **settings}
