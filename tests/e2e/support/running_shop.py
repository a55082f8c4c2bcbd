"""The three services as processes, started as the stack starts them."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pymongo import AsyncMongoClient

from services.common.rpc.transport import Transport
from services.common.settings import PREFIX
from services.stack.credentials import open_credentials
from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports
from services.stack.processes import Child
from services.stack.services import SERVICES, ServicePorts, Shop, running_service
from tests.e2e.support.ledger import Databases, Ledger
from tests.e2e.support.shop_front import ShopFront, opened_channels, stubs_over
from tests.e2e.support.tokens import Mint

# A machine that is busy shall not look like a shop that is: services refuse calls when their event
# loop is late, and give up on stores and on each other before their own calls are over.
_PATIENT: Final = {
    "SHOP_CONCURRENCY_LIMIT": "off",
    "SHOP_MONGO_TIMEOUT_MS": "5000",
    "SHOP_PEER_TIMEOUT_MS": "5000",
}
USUAL_TRANSPORT: Final = Transport(os.environ.get("SHOP_TRANSPORT", Transport.AUTO))
"""What the shops serve with, unless a test is about that."""


@dataclass(slots=True)
class _Running:
    child: Child
    life: AsyncExitStack
    variables: Mapping[str, str]


@dataclass(slots=True)
class RunningShop(ShopFront):
    """A shop whose services can be killed, stopped and started again one by one."""

    settings: Shop
    folder: DataFolder
    _running: dict[str, _Running] = field(default_factory=dict)

    # ---- processes

    async def start(self, service: str, **variables: str) -> Child:
        """Start a service, with other variables than the shop's; return when it serves."""
        life = AsyncExitStack()
        shop = Shop(
            mongo_uri=self.settings.mongo_uri,
            redis_url=self.settings.redis_url,
            credentials=self.settings.credentials,
            ports=self.settings.ports,
            variables={**self.settings.variables, **variables},
        )
        child = await life.enter_async_context(running_service(self.folder, shop, service))
        self._running[service] = _Running(child, life, variables)
        return child

    async def start_all(self, **variables: str) -> None:
        """Make all services run, with the shop's variables and these."""
        await asyncio.gather(*(self._ensure(service, variables) for service in SERVICES))

    async def stop(self, service: str) -> None:
        """Stop a service as the stack does."""
        running = self._running.pop(service, None)
        if running is not None:
            await running.life.aclose()

    async def signal(self, service: str, number: signal.Signals) -> int:
        """Send a signal to a service that ends it, and return its exit code."""
        running = self._running.pop(service)
        running.child.process.send_signal(number)
        code = await running.child.process.wait()
        await running.life.aclose()
        return code

    async def kill(self, service: str) -> None:
        """End a service at once, without a word to it."""
        await self.signal(service, signal.SIGKILL)

    async def restart(self, service: str, **variables: str) -> None:
        """Stop a service and start it with other variables than the shop's."""
        await self.stop(service)
        await self.start(service, **variables)

    async def _ensure(self, service: str, variables: Mapping[str, str]) -> None:
        running = self._running.get(service)
        runs = running is not None and running.child.process.returncode is None
        if running is None or not runs or running.variables != variables:
            await self.stop(service)
            await self.start(service, **variables)

    async def stop_all(self) -> None:
        """Stop what runs."""
        await asyncio.gather(*(self.stop(service) for service in list(self._running)))

    # ---- what the services say about themselves

    def log(self, service: str) -> str:
        """Return what a service has logged since its last start."""
        return self.folder.log(service).read_text()


@asynccontextmanager
async def opened_shop(
    path: Path,
    *,
    mongo_uri: str,
    redis_url: str,
    ledger_uri: str,
    databases: Databases | None = None,
    keys: Path | None = None,
    **variables: str,
) -> AsyncIterator[RunningShop]:
    """Run a shop in databases of its own, or in those of another, until the end of the block.

    It limits no calls and is patient with what it depends on, unless its variables say otherwise.
    ``ledger_uri`` is where the tests reach MongoDB, whatever way the services take.
    """
    folder = DataFolder(path)
    folder.prepare()
    names = databases or _new_databases()
    with claimed_ports(6) as ports:
        settings = Shop(
            mongo_uri=mongo_uri,
            redis_url=redis_url,
            credentials=open_credentials(keys or folder.secrets),
            ports=ServicePorts(*ports),
            variables=_environment(names, variables),
        )
        async with AsyncExitStack() as opened:
            targets = {service: settings.target(service) for service in SERVICES}
            channels = await opened.enter_async_context(opened_channels(targets))
            client: AsyncMongoClient[Mapping[str, Any]] = AsyncMongoClient(ledger_uri)
            shop = RunningShop(
                settings=settings,
                folder=folder,
                credentials=settings.credentials,
                stubs=stubs_over(channels),
                ledger=Ledger(await opened.enter_async_context(client), names),
                databases=names,
                channels=channels,
                mint=Mint.of(settings.credentials),
            )
            opened.push_async_callback(shop.stop_all)
            await shop.start_all()
            yield shop


def _new_databases() -> Databases:
    mark = secrets.token_hex(4)
    return Databases(*(f"e2e_{mark}_{service}" for service in SERVICES))


def _environment(names: Databases, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the tests without their own shop settings but the transport."""
    inherited = {name: v for name, v in os.environ.items() if not name.startswith(PREFIX)}
    return {
        **inherited,
        **_PATIENT,
        "SHOP_TRANSPORT": USUAL_TRANSPORT,
        "SHOP_USER_DATABASE": names.user,
        "SHOP_INVENTORY_DATABASE": names.inventory,
        "SHOP_ORDER_DATABASE": names.order,
        **variables,
    }
