"""Reads that Redis answers, by how many are under way at a time, and as tutorials write them."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any, Final

from redis.asyncio import Redis

from bench.cache_shop import shuffled
from bench.layers.caches import TIMEOUT_S, ProductCache, opened_cache, products_in_mongo
from bench.layers.contest import Group
from bench.layers.members import Local, Member, Processes, called, confirm
from bench.layers.setting import READ_PRODUCTS, Setting, own_redis
from bench.seeds import nth_id
from services.common.cache.wiring import CacheMode
from services.common.freshness import Freshness
from services.inventory.cached import PRODUCT

_AT_ONCE: Final = (1, 8, 64)


def _ours(at_once: int) -> str:
    return f"{at_once} at a time"


def _naive(at_once: int) -> str:
    return f"{at_once} at a time, naive: GET and json"


@asynccontextmanager
async def _opened(setting: Setting) -> AsyncIterator[Sequence[Member]]:
    stores = await setting.stores()
    processes = await setting.processes()
    redis = Redis.from_url(own_redis(stores.redis.uri), socket_timeout=TIMEOUT_S)
    async with (
        redis,
        products_in_mongo(setting) as (mongo, products),
        # Without near values: those would spare the cache what a hit in Redis costs.
        opened_cache(setting, mongo, PRODUCT, products.get_many, CacheMode.REDIS) as cache,
    ):
        await cache.fill([nth_id(number) for number in range(READ_PRODUCTS)])
        yield [
            *(_through_cache(cache, at_once, processes) for at_once in _AT_ONCE),
            *(_by_hand(redis, at_once, processes) for at_once in _AT_ONCE),
        ]


def _through_cache(cache: ProductCache, at_once: int, processes: Processes) -> Member:
    ids = cycle([nth_id(number) for number in shuffled(READ_PRODUCTS)])
    work = called(at_once, lambda: cache.values.get(next(ids)), Freshness.SHARED)
    claim = cache.claim({("redis", "hit"): 1})
    return Local(_ours(at_once), work, claim, processes, step=at_once)


def _by_hand(redis: Redis, at_once: int, processes: Processes) -> Member:
    ids = cycle([nth_id(number) for number in shuffled(READ_PRODUCTS)])

    async def read() -> None:
        product_id = next(ids)
        fields: Any = json.loads(await redis.get(PRODUCT.key(product_id)) or "null")
        confirm(fields["value"]["product_id"] == product_id, "Redis has another product")

    return Local(_naive(at_once), called(at_once, read), processes=processes, step=at_once)


GROUPS: Final = (Group("redis hit", (*map(_ours, _AT_ONCE), *map(_naive, _AT_ONCE)), _opened),)
