"""``SHOP_CACHE`` of a service that runs: off, redis, near."""

import asyncio
import os
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from grpc import aio
from redis.asyncio import Redis
from shop.inventory.v1 import inventory_pb2 as pb
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub

from services.common.background import ended
from services.common.cache.backstop import Backstop
from services.common.cache.link import InvalidationLink
from services.common.cache.near import NearOptions
from services.common.cache.upkeep import Upkeep
from services.common.cache.watched import Changes
from services.common.cache.wiring import CacheMode, CacheOptions, OpenCache, open_cache
from services.common.freshness import Source
from services.common.mongo import Mongo
from services.common.redis.servers import RedisOptions
from services.common.settings import PREFIX
from services.inventory.cached import PRODUCT, CachedProducts
from services.inventory.model import Product
from services.inventory.repository import MongoProducts
from services.stack.credentials import open_credentials
from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports
from services.stack.services import ServicePorts, Shop, running_service
from tests.e2e.support.shop_front import ask_health
from tests.integration.caches import told
from tests.integration.inventory.conftest import LAMP
from tests.integration.patience import until

TIMEOUT_S = 20.0
NO_NEAR = [("cache-control", "no-near")]
NOTHING_WATCHED = Changes("nothing")


@dataclass(frozen=True)
class Served:
    """A running Inventory service."""

    channel: aio.Channel
    metrics_port: int

    async def answered_from(
        self, product: Product, metadata: Sequence[tuple[str, str]] = ()
    ) -> str | None:
        """Read a product, and return what answered."""
        call = InventoryServiceStub(self.channel).GetProduct(
            pb.GetProductRequest(product_id=product.product_id),
            timeout=TIMEOUT_S,
            metadata=metadata,
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
    variables |= {"SHOP_REDIS_TIMEOUT_MS": "10000", "SHOP_CACHE_CONTROL": "any"}
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


def breaker_of(cache: OpenCache[Product]) -> str:
    """Return the state of the breaker before Redis."""
    (state,) = (
        sample.labels["state"]
        for metric in cache.metrics.collect()
        if metric.name == "shop_cache_breaker_state"
        for sample in metric.samples
        if sample.value
    )
    return state


def restarts_of(cache: OpenCache[Product]) -> float:
    """Return how often work beside the calls began again."""
    (restarts,) = (
        sample.value
        for metric in cache.metrics.collect()
        if metric.name == "shop_cache_restarts"
        for sample in metric.samples
    )
    return restarts


@pytest.fixture
async def lamp(prepared: Mongo) -> Product:
    return await MongoProducts(prepared).add(LAMP)


async def test_off_nothing_is_read_from_redis_and_nothing_tells_of_a_cache(
    tmp_path: Path, mongo_uri: str, redis: Redis, redis_url: str, database: str, lamp: Product
) -> None:
    async with served(tmp_path, mongo_uri, redis_url, database, "off") as inventory:
        assert await ask_health(inventory.channel) == "SERVING"
        assert await ask_health(inventory.channel, "redis") == "SERVING"
        for _ in range(2):
            assert await inventory.answered_from(lamp) is None
        page = await inventory.figures()
    asked = 'shop_cache_requests_total{cache="product",layer="%s",result="hit"} %s'
    assert asked % ("redis", 0.0) in page
    assert asked % ("mongo", 2.0) in page
    assert not await redis.exists(PRODUCT.key(lamp.product_id))


async def test_off_a_service_serves_without_any_redis(
    tmp_path: Path, mongo_uri: str, database: str, lamp: Product
) -> None:
    with claimed_ports(1) as (nobodys,):
        url = f"redis://127.0.0.1:{nobodys}/0"
        async with served(tmp_path, mongo_uri, url, database, "off") as inventory:
            assert await ask_health(inventory.channel) == "SERVING"
            assert await inventory.answered_from(lamp) is None


async def test_off_a_process_tells_those_that_cache_of_its_writes(
    tmp_path: Path, mongo_uri: str, redis_url: str, database: str, prepared: Mongo, lamp: Product
) -> None:
    options = CacheOptions(
        CacheMode.OFF, NearOptions(1, 1, 1.0), RedisOptions(redis_url, timeout_ms=10_000)
    )
    stored = MongoProducts(prepared)
    async with (
        served(tmp_path, mongo_uri, redis_url, database, "near") as inventory,
        open_cache(PRODUCT, stored.get_many, prepared, NOTHING_WATCHED, options) as cache,
        asyncio.timeout(60),
    ):
        writer = CachedProducts(stored, cache.values)
        await until(lambda: breaker_of(cache) == "closed")
        for number in range(20):
            while await inventory.answered_from(lamp, NO_NEAR) != "redis":
                pass
            lamp = await writer.update(
                lamp.product_id, replace(LAMP, name=f"Lamp {number}"), ["name"], 0
            )
            assert await inventory.answered_from(lamp, NO_NEAR) == "mongo"
            assert (await writer.get(lamp.product_id)).value == lamp


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


@pytest.mark.parametrize("work", [Upkeep, Backstop, InvalidationLink])
async def test_work_beside_the_calls_that_ends_begins_again_and_nothing_is_cached_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
    redis_url: str,
    prepared: Mongo,
    lamp: Product,
    work: type[Any],
) -> None:
    run, ends = work.run, asyncio.Event()

    async def run_to_an_end(self: object) -> None:
        if ends.is_set():
            await run(self)
        running = asyncio.create_task(run(self))
        await ends.wait()
        await ended([running])
        raise asyncio.CancelledError  # as if something in it was cancelled

    monkeypatch.setattr(work, "run", run_to_an_end)
    options = CacheOptions(
        CacheMode.NEAR, NearOptions(10, 10**6, 10.0), RedisOptions(redis_url, timeout_ms=10_000)
    )
    stored = MongoProducts(prepared)
    async with (
        open_cache(PRODUCT, stored.get_many, prepared, NOTHING_WATCHED, options) as cache,
        asyncio.timeout(60),
    ):

        async def is_near() -> bool:
            answered = await told(lambda: cache.values.get(lamp.product_id))
            return answered[1] is Source.NEAR

        await until(is_near)
        ends.set()
        await until(lambda: restarts_of(cache) == 1)
        assert breaker_of(cache) == "open"
        answered = await told(lambda: cache.values.get(lamp.product_id))
        assert answered[1] is Source.MONGO
        await until(is_near)
        assert restarts_of(cache) == 1
