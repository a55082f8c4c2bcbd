"""The three services as child processes."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.addresses import address
from services.common.rpc.channel_options import DIRECT
from services.demo.seed import Doors
from services.stack.credentials import Credentials
from services.stack.errors import StackError
from services.stack.folder import DataFolder
from services.stack.ports import LOOPBACK
from services.stack.processes import Child, attended, running

SERVICES: Final = ("user", "inventory", "order")

_SECRETS: Final = {"SHOP_ADMIN_PASSWORD"}
_SERVING_WITHIN_S: Final = 60.0
_ATTEMPT_WITHIN_S: Final = 1.0
_POLL_S: Final = 0.05
_CHANNEL_OPTIONS: Final = (
    *DIRECT,
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)


@dataclass(frozen=True, slots=True)
class ServicePorts:
    """Where each service listens, and where it gives its figures; 0 for no figures."""

    user: int = 50051
    inventory: int = 50052
    order: int = 50053
    user_metrics: int = 0
    inventory_metrics: int = 0
    order_metrics: int = 0


@dataclass(frozen=True, slots=True)
class Shop:
    """What the three services are started with: stores, credentials, addresses.

    ``variables`` is the environment they inherit; what is said here has precedence. ``python`` is
    the interpreter that runs them.
    """

    mongo_uri: str
    redis_url: str
    credentials: Credentials
    ports: ServicePorts = ServicePorts()
    host: str = LOOPBACK
    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    python: str = sys.executable

    @property
    def user(self) -> str:
        """The address of the User service."""
        return address(self.host, self.ports.user)

    @property
    def inventory(self) -> str:
        """The address of the Inventory service."""
        return address(self.host, self.ports.inventory)

    @property
    def order(self) -> str:
        """The address of the Order service."""
        return address(self.host, self.ports.order)

    @property
    def doors(self) -> Doors:
        """How the demonstration data get in."""
        return Doors(
            user=self.user,
            inventory=self.inventory,
            order=self.order,
            admin_password=self.credentials.admin_password,
            demo_password=self.credentials.demo_password,
        )

    def target(self, service: str) -> str:
        """Return the address of a service by its name."""
        return {"user": self.user, "inventory": self.inventory, "order": self.order}[service]

    def environment(self, service: str) -> dict[str, str]:
        """Return the environment of one service; secrets go to their owner only."""
        inherited = {name: v for name, v in self.variables.items() if name not in _SECRETS}
        return inherited | self._common() | self._own(service)

    def _common(self) -> dict[str, str]:
        return {
            "SHOP_MONGO_URI": self.mongo_uri,
            "SHOP_REDIS_URL": self.redis_url,
            "SHOP_TRUSTED_KEYS_FILE": str(self.credentials.trusted_keys),
            "SHOP_USER_PORT": str(self.ports.user),
            "SHOP_INVENTORY_PORT": str(self.ports.inventory),
            "SHOP_ORDER_PORT": str(self.ports.order),
            "SHOP_USER_METRICS_PORT": str(self.ports.user_metrics),
            "SHOP_INVENTORY_METRICS_PORT": str(self.ports.inventory_metrics),
            "SHOP_ORDER_METRICS_PORT": str(self.ports.order_metrics),
        }

    def _own(self, service: str) -> dict[str, str]:
        match service:
            case "user":
                return {
                    "SHOP_USER_SIGNING_KEY_FILE": str(self.credentials.user_key),
                    "SHOP_ADMIN_PASSWORD": self.credentials.admin_password,
                }
            case "order":
                return {
                    "SHOP_ORDER_SIGNING_KEY_FILE": str(self.credentials.order_key),
                    "SHOP_USER_TARGET": self.user,
                    "SHOP_INVENTORY_TARGET": self.inventory,
                }
            case _:
                return {}


@asynccontextmanager
async def running_services(folder: DataFolder, shop: Shop) -> AsyncIterator[Mapping[str, Child]]:
    """Run the three services; all are SERVING when the block is entered."""
    async with AsyncExitStack() as opened:
        children = {
            service: await opened.enter_async_context(_process(folder, shop, service))
            for service in SERVICES
        }
        await attended(list(children.values()), _all_serving(children, shop))
        yield children


@asynccontextmanager
async def running_service(folder: DataFolder, shop: Shop, service: str) -> AsyncIterator[Child]:
    """Run one service; it is SERVING when the block is entered."""
    async with _process(folder, shop, service) as child:
        await attended([child], _serving(child, service, shop.target(service)))
        yield child


def _process(folder: DataFolder, shop: Shop, service: str) -> AbstractAsyncContextManager[Child]:
    command = [shop.python, "-m", f"services.{service}"]
    return running(service, command, folder.log(service), shop.environment(service))


async def _all_serving(children: Mapping[str, Child], shop: Shop) -> None:
    for service, child in children.items():
        await _serving(child, service, shop.target(service))


async def _serving(child: Child, service: str, target: str) -> None:
    request = health_pb2.HealthCheckRequest(service=_full_name(service))
    loop = asyncio.get_running_loop()
    end = loop.time() + _SERVING_WITHIN_S
    async with aio.insecure_channel(target, options=_CHANNEL_OPTIONS) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
        state = "not asked"
        while loop.time() < end:
            try:
                answer = await check(request, timeout=_ATTEMPT_WITHIN_S, wait_for_ready=True)
            except aio.AioRpcError as error:
                state = error.code().name
            else:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
                state = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
            await asyncio.sleep(_POLL_S)
    raise StackError(
        f"{child.name} at {target} does not serve after {_SERVING_WITHIN_S:.0f} s ({state}): "
        f"does it reach MongoDB? {await child.last_words()}"
    )


def _full_name(service: str) -> str:
    return f"shop.{service}.v1.{service.capitalize()}Service"
