"""A cache of products in this process, and the proof of what it answered from."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from bench.layers.members import Claim, confirm
from bench.layers.setting import OWN_DATABASE, Setting, own_redis
from services.common.cache.lookup import Lookup
from services.common.cache.metrics import CacheMetrics
from services.common.cache.near import NearOptions
from services.common.cache.read_through import Load, ReadThroughCache
from services.common.cache.wiring import CacheMode, CacheOptions, open_cache
from services.common.mongo import Mongo, MongoDriver, MongoOptions, open_mongo
from services.common.redis.servers import RedisOptions
from services.inventory.model import Product
from services.inventory.repository import PRODUCT_CHANGES, MongoProducts

TIMEOUT_S: Final = 10.0
_TIMEOUT_MS: Final = int(TIMEOUT_S * 1_000)
_AT_ONCE: Final = 500
_NEAR_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.01
_NEAR: Final = NearOptions(entries=10_000, bytes=64 * 1024 * 1024, lease_s=10.0)


@dataclass(frozen=True, slots=True)
class Answered:
    """What each layer of a cache was asked and had, since it began: by layer and result."""

    metrics: CacheMetrics

    def read(self) -> Counter[tuple[str, str]]:
        """Return the counts of this moment."""
        return Counter(
            {
                (sample.labels["layer"], sample.labels["result"]): int(sample.value)
                for metric in self.metrics.collect()
                if metric.name == "shop_cache_requests"
                for sample in metric.samples
            }
        )


@dataclass(frozen=True, slots=True)
class ProductCache:
    """A cache at work."""

    values: ReadThroughCache[Product]
    answered: Answered

    async def fill(self, product_ids: Sequence[str]) -> None:
        """Read these products, so that they are in Redis afterwards."""
        for first in range(0, len(product_ids), _AT_ONCE):
            await self.values.get_many(product_ids[first : first + _AT_ONCE])
        await self.values.drain()

    async def until_near(self, product_ids: Sequence[str]) -> None:
        """Wait until these products are answered from the memory of this process."""
        async with asyncio.timeout(_NEAR_WITHIN_S):
            while True:
                before = self.answered.read()
                await self.fill(product_ids)
                if (self.answered.read() - before)["near", "hit"] == len(product_ids):
                    return
                await asyncio.sleep(_POLL_S)

    def claim(self, per_operation: Mapping[tuple[str, str], int]) -> Claim:
        """Return the claim that an operation asks the layers this often, and for nothing else."""

        @asynccontextmanager
        async def claimed(operations: int) -> AsyncIterator[None]:
            before = self.answered.read()
            yield
            asked = self.answered.read() - before
            expected = {what: count * operations for what, count in per_operation.items()}
            confirm(asked == expected, f"the cache was asked {dict(asked)}, not {expected}")

        return claimed


@asynccontextmanager
async def products_in_mongo(
    setting: Setting, driver: MongoDriver = MongoDriver.PYMONGO
) -> AsyncIterator[tuple[Mongo, MongoProducts]]:
    """Open the database whose products are read by this process alone."""
    stores = await setting.stores()
    options = MongoOptions(stores.mongo.uri, driver, _TIMEOUT_MS)
    async with open_mongo(options, OWN_DATABASE) as mongo:
        yield mongo, MongoProducts(mongo)


@asynccontextmanager
async def opened_cache(
    setting: Setting,
    mongo: Mongo,
    lookup: Lookup[Product],
    load: Load[Product],
    mode: CacheMode,
) -> AsyncIterator[ProductCache]:
    """Open a cache with all that works beside it."""
    stores = await setting.stores()
    options = CacheOptions(mode, _NEAR, RedisOptions(own_redis(stores.redis.uri), _TIMEOUT_MS))
    async with open_cache(lookup, load, mongo, PRODUCT_CHANGES, options) as cache:
        yield ProductCache(cache.values, Answered(cache.metrics))
