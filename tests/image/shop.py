"""A shop whose services run out of the image, on stores of this machine."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from services.stack.credentials import open_credentials
from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports
from services.stack.processes import Child, running
from services.stack.services import SERVICES, ServicePorts, Shop
from services.stack.stores import running_mongod, running_redis
from tests.image.containers import UID, Buildah, Container, Image, container, first_of

KEYS: Final = "/run/keys"
_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class ImageShop:
    """The running shop; ``shop`` is what its services were started with."""

    folder: DataFolder
    shop: Shop
    containers: Mapping[str, Container]
    children: Mapping[str, Child]

    async def drain(self, service: str) -> int:
        """Send SIGTERM to a service, as an engine does, and return its exit code."""
        child = self.children[service]
        process = first_of(child.process.pid, self.containers[service].image)
        assert process is not None, f"{service} does not run"
        os.kill(process, signal.SIGTERM)
        async with asyncio.timeout(_WITHIN_S):
            return await child.process.wait()

    def outside(self) -> dict[str, str]:
        """Return the variables that tell end-to-end tests where the shop is."""
        return {
            **{f"E2E_{name.upper()}_TARGET": self.shop.target(name) for name in SERVICES},
            "E2E_MONGO_URI": self.shop.mongo_uri,
            "E2E_KEYS": str(self.folder.secrets),
            "E2E_ADMIN_PASSWORD": self.shop.credentials.admin_password,
        }


@contextmanager
def prepared(folder: DataFolder, mongo_uri: str, redis_url: str) -> Iterator[Shop]:
    """Make keys that the image's user may read, and claim ports."""
    folder.prepare()
    credentials = open_credentials(folder.secrets)
    for path in (folder.secrets, *folder.secrets.iterdir()):
        os.chown(path, UID, UID)
    with claimed_ports(6) as ports:
        yield Shop(
            mongo_uri,
            redis_url,
            replace(credentials, admin_password=secrets.token_urlsafe(12)),
            ports=ServicePorts(*ports),
            variables={"SHOP_CACHE_CONTROL": "any"},
        )


def variables(shop: Shop, folder: DataFolder, service: str) -> dict[str, str]:
    """Return the settings of a service as its container has them."""
    found = shop.environment(service)
    return {name: value.replace(str(folder.secrets), KEYS) for name, value in found.items()}


@asynccontextmanager
async def running_shop(buildah: Buildah, image: Image, path: Path) -> AsyncIterator[ImageShop]:
    """Run stores, and each service in a container of its own; all are healthy in the block."""
    folder = DataFolder(path)
    folder.prepare()
    async with AsyncExitStack() as opened:
        mongo = await opened.enter_async_context(running_mongod(folder))
        redis = await opened.enter_async_context(running_redis(folder))
        shop = opened.enter_context(prepared(folder, mongo.uri, redis.uri))
        containers = {
            service: opened.enter_context(
                container(
                    buildah,
                    image,
                    variables(shop, folder, service),
                    {folder.secrets: f"{KEYS}:ro"},
                )
            )
            for service in SERVICES
        }
        children = {
            service: await opened.enter_async_context(
                running(service, held.command(service), folder.log(service))
            )
            for service, held in containers.items()
        }
        for service, held in containers.items():
            await healthy(held, folder.log(service))
        yield ImageShop(folder, shop, containers, children)


async def healthy(held: Container, log: Path) -> None:
    """Wait until the image's own health check succeeds in a container."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _WITHIN_S
    while (said := await _unhealthy(held)) is not None:
        assert loop.time() < end, f"{said}; see {log}"
        await asyncio.sleep(_POLL_S)


async def _unhealthy(held: Container) -> str | None:
    process = await asyncio.create_subprocess_exec(
        *held.run(*held.image.health_check), stderr=asyncio.subprocess.PIPE
    )
    _, error = await process.communicate()
    return None if process.returncode == 0 else error.decode().strip()
