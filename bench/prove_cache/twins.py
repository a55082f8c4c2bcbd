"""A shop to prove the cache with: stores of its own, and two processes of each service."""

import asyncio
import os
from asyncio import gather
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final

from bench.brittle_redis import BrittleRedis, brittle_redis
from bench.figures import figures_at
from bench.proxy import Proxy, opened_proxy
from services.common.settings import PREFIX
from services.stack.credentials import Credentials, open_credentials
from services.stack.folder import DataFolder
from services.stack.ports import LOOPBACK, claimed_ports
from services.stack.processes import Child
from services.stack.services import SERVICES, ServicePorts, Shop, running_service
from services.stack.stores import running_mongod

TWINS: Final = 2
_SETTINGS: Final = {
    "SHOP_CACHE": "near",
    "SHOP_CACHE_CONTROL": "any",
    "SHOP_CONCURRENCY_LIMIT": "off",  # a read refused for load would say nothing about the cache
    # A machine that stands still for a moment is not taken for a store that is away; and a read
    # that waits twice for Redis has time left until its deadline of 5 s.
    "SHOP_REDIS_TIMEOUT_MS": "500",
    "SHOP_MONGO_TIMEOUT_MS": "5000",
    "SHOP_RECONCILE_AGE_S": "3600",  # an interrupted checkout is repeated by its customer
    "SHOP_LOG_LEVEL": "warning",
}
_BECOMES_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.05


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
    redis: BrittleRedis
    ways: Mapping[str, Proxy]
    """The way to Redis that a process has for itself, by its name."""
    shops: list[Shop] = field(default_factory=list)
    services: dict[str, Life] = field(default_factory=dict)

    async def become(self, state: str, names: Collection[str] = ()) -> None:
        """Wait until the breakers of these processes, or of all, are in this state."""
        async with asyncio.timeout(_BECOMES_WITHIN_S):
            for name in names or self.services:
                while await self._breaker(name) != state:  # noqa: ASYNC110 (it tells nobody when)
                    await asyncio.sleep(_POLL_S)

    async def _breaker(self, name: str) -> str:
        service, _, index = name.partition("-")
        port = getattr(self.shops[int(index)].ports, f"{service}_metrics")
        states = await figures_at(port, "shop_cache_breaker_state", "state")
        return next(state for (state,), is_so in states.items() if is_so)

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
        """End all services."""
        await gather(*(life.stack.aclose() for life in self.services.values()))

    def _shop_of(self, service: str, index: int) -> Shop:
        """Return how to start a process, which may have a way of its own to Redis."""
        shop, way = self.shops[index], self.ways.get(f"{service}-{index}")
        return shop if way is None else replace(shop, redis_url=f"redis://{LOOPBACK}:{way.port}/0")


async def _kill(life: Life) -> None:
    life.child.process.kill()
    await life.child.process.wait()
    await life.stack.aclose()


@asynccontextmanager
async def running_twins(path: Path, settings: Mapping[str, str]) -> AsyncIterator[Twins]:
    """Run the shop until the end. Each second process has its own way to Redis."""
    folder = DataFolder(path)
    folder.prepare()
    async with AsyncExitStack() as opened:
        each = len(fields(ServicePorts))
        ports = opened.enter_context(claimed_ports(TWINS * each))
        mongo = await opened.enter_async_context(running_mongod(folder))
        redis = await opened.enter_async_context(brittle_redis(folder))
        ways = {
            f"{service}-1": await opened.enter_async_context(
                opened_proxy(LOOPBACK, redis.proxy.port)
            )
            for service in SERVICES
        }
        twins = Twins(folder, open_credentials(folder.secrets), redis, ways)
        opened.push_async_callback(twins.stop)
        for index in range(TWINS):
            own = ServicePorts(*ports[index * each : (index + 1) * each])
            twins.shops.append(
                Shop(mongo.uri, redis.url, twins.credentials, own, variables=_inherited(settings))
            )
        names = [f"{service}-{index}" for service in SERVICES for index in range(TWINS)]
        await twins.start_service(names[0])  # it creates the administrator
        await gather(*(twins.start_service(name) for name in names[1:]))
        yield twins


def _inherited(settings: Mapping[str, str]) -> dict[str, str]:
    own = {name: v for name, v in os.environ.items() if not name.startswith(PREFIX)}
    return {**own, **_SETTINGS, **settings}
