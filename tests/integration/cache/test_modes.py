"""``SHOP_CACHE`` of a service that runs: off, redis, near."""

import asyncio
import os
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc import aio
from shop.inventory.v1 import inventory_pb2 as pb
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub

from services.common.mongo import Mongo
from services.common.settings import PREFIX
from services.inventory.model import Product
from services.inventory.repository import MongoProducts
from services.stack.credentials import open_credentials
from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports
from services.stack.services import ServicePorts, Shop, running_service
from tests.e2e.support.shop_front import ask_health
from tests.integration.conftest import ANY_DRIVER
from tests.integration.inventory.conftest import LAMP

pytestmark = ANY_DRIVER

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Served:
    """A running Inventory service."""

    channel: aio.Channel
    metrics_port: int

    async def answered_from(self, product: Product) -> str | None:
        """Read a product, and return what answered."""
        call = InventoryServiceStub(self.channel).GetProduct(
            pb.GetProductRequest(product_id=product.product_id), timeout=TIMEOUT_S
        )
        assert (await call).product.name == product.name
        told = {str(key): value for key, value in await call.trailing_metadata() or ()}
        source = told.get("x-cache")
        return None if source is None else str(source).partition(";")[0]

    async def figures(self) -> str:
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        return await asyncio.to_thread(_read, url)


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as page:  # noqa: S310 (http on loopback)
        text: str = page.read().decode()
        return text


@asynccontextmanager
async def served(
    folder: Path, mongo_uri: str, redis_url: str, database: str, mode: str
) -> AsyncIterator[Served]:
    data = DataFolder(folder)
    data.prepare()
    variables = {name: v for name, v in os.environ.items() if not name.startswith(PREFIX)}
    variables |= {"SHOP_INVENTORY_DATABASE": database, "SHOP_CACHE": mode}
    variables["SHOP_REDIS_TIMEOUT_MS"] = "10000"
    with claimed_ports(6) as ports:
        shop = Shop(
            mongo_uri,
            redis_url,
            open_credentials(data.secrets),
            ServicePorts(*ports),
            variables=variables,
        )
        async with (
            running_service(data, shop, "inventory"),
            aio.insecure_channel(shop.inventory) as channel,
        ):
            yield Served(channel, ports[4])


@pytest.fixture
async def lamp(prepared: Mongo) -> Product:
    return await MongoProducts(prepared).add(LAMP)


async def test_off_no_connection_is_made_to_redis_and_nothing_tells_of_a_cache(
    tmp_path: Path, mongo_uri: str, database: str, lamp: Product
) -> None:
    connections = 0

    async def count(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    listener = await asyncio.start_server(count, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0"
    async with listener, served(tmp_path, mongo_uri, url, database, "off") as inventory:
        assert await ask_health(inventory.channel) == "SERVING"
        with pytest.raises(aio.AioRpcError) as unknown:
            await ask_health(inventory.channel, "redis")
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        for _ in range(2):
            assert await inventory.answered_from(lamp) is None
        assert "shop_cache" not in await inventory.figures()
    assert connections == 0


async def test_with_redis_alone_nothing_is_near(
    tmp_path: Path, mongo_uri: str, redis_url: str, database: str, lamp: Product
) -> None:
    async with served(tmp_path, mongo_uri, redis_url, database, "redis") as inventory:
        assert await ask_health(inventory.channel, "redis") == "SERVING"
        sources = [await inventory.answered_from(lamp) for _ in range(20)]
        page = await inventory.figures()
    assert "redis" in sources
    assert set(sources) <= {"mongo", "redis"}
    assert 'shop_cache_near_entries{cache="product"} 0.0' in page


async def test_near_answers_come_from_memory_in_the_end(
    tmp_path: Path, mongo_uri: str, redis_url: str, database: str, lamp: Product
) -> None:
    async with (
        served(tmp_path, mongo_uri, redis_url, database, "near") as inventory,
        asyncio.timeout(60),
    ):
        assert await inventory.answered_from(lamp) == "mongo"
        while await inventory.answered_from(lamp) != "near":  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.05)
        page = await inventory.figures()
    assert 'shop_cache_requests_total{cache="product",layer="near",result="hit"}' in page
