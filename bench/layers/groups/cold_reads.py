"""Reads of what no cache has: the lease, the load, the fill. And what it costs to forget."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count, cycle, islice
from typing import Final

from redis.asyncio import Redis

from bench.layers.caches import TIMEOUT_S, ProductCache, opened_cache, products_in_mongo
from bench.layers.contest import Group
from bench.layers.members import Claim, Local, Member, Processes, Work, called, confirm
from bench.layers.setting import READ_PRODUCTS, Setting, own_redis
from bench.seeds import nth_id
from services.common.cache.wiring import CacheMode
from services.common.snapshot import Snapshot
from services.inventory.cached import PRODUCT
from services.inventory.model import Product

_MANY: Final = 64
_ALONE: Final = "lease and fill, one at a time"
_TOGETHER: Final = f"lease and fill, {_MANY} at a time"
_LOADED: Final = f"lease, MongoDB and fill, {_MANY} at a time"
_FORGET: Final = "forget, one at a time"
_FORGET_TOGETHER: Final = f"forget, {_MANY} at a time"
_UNKNOWN: Final = 10_000_000  # the first number of products that are in no store


class _Keys:
    """Ids without end, of which each round draws its own before it begins."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._left: Iterator[str] = iter(())
        self.drawn: Sequence[str] = ()

    def draw(self, many: int) -> None:
        """Choose the ids of a round."""
        self.drawn = [nth_id(number) for number in islice(self._numbers, many)]
        self._left = iter(self.drawn)

    def take(self) -> str:
        """Return the round's next id."""
        return next(self._left)

    @property
    def in_redis(self) -> Sequence[str]:
        """The Redis keys of the round."""
        return [PRODUCT.key(product_id) for product_id in self.drawn]


@dataclass(frozen=True, slots=True)
class _Bench:
    """A cache, and the Redis behind it."""

    redis: Redis
    processes: Processes

    def cold_reads(self, name: str, cache: ProductCache, keys: _Keys, at_once: int) -> Member:
        """Return reads, each of which loads and fills in what it was granted a lease for."""
        answered = cache.claim({("redis", "miss"): 1, ("mongo", "hit"): 1})

        @asynccontextmanager
        async def claimed(operations: int) -> AsyncIterator[None]:
            keys.draw(operations)
            await self.redis.unlink(*keys.in_redis)
            async with answered(operations):
                yield
            filled = await self.redis.exists(*keys.in_redis)
            confirm(filled == operations, f"{filled} of {operations} values were filled in")

        reads = called(at_once, lambda: cache.values.get(keys.take()))

        async def work(operations: int) -> None:
            await reads(operations)
            await cache.values.drain()  # a value is filled in after it is answered with

        return self._local(name, work, claimed, at_once)

    def forgetting(self, name: str, cache: ProductCache, keys: _Keys, at_once: int) -> Member:
        """Return invalidations, each of which finds its value in Redis."""

        @asynccontextmanager
        async def claimed(operations: int) -> AsyncIterator[None]:
            keys.draw(operations)
            await cache.fill(keys.drawn)
            present = await self.redis.exists(*keys.in_redis)
            confirm(present == operations, f"{present} of {operations} values were in Redis")
            yield
            left = await self.redis.exists(*keys.in_redis)
            confirm(left == 0, f"{left} of {operations} values are still in Redis")

        work = called(at_once, lambda: cache.values.invalidate([keys.take()]))
        return self._local(name, work, claimed, at_once)

    def _local(self, name: str, work: Work, claim: Claim, at_once: int) -> Member:
        most = READ_PRODUCTS // at_once * at_once  # a round reads no product twice
        return Local(name, work, claim, self.processes, at_once, most)


@asynccontextmanager
async def _opened(setting: Setting) -> AsyncIterator[Sequence[Member]]:
    stores = await setting.stores()
    redis = Redis.from_url(own_redis(stores.redis.uri), socket_timeout=TIMEOUT_S)
    bench = _Bench(redis, await setting.processes())
    async with redis, products_in_mongo(setting) as (mongo, products):
        lamp = (await products.get(nth_id(0))).value

        async def load(product_ids: Collection[str]) -> Mapping[str, Snapshot[Product]]:
            return {product_id: Snapshot(lamp) for product_id in product_ids}

        async with (
            opened_cache(setting, mongo, PRODUCT, load, CacheMode.REDIS) as given,
            opened_cache(setting, mongo, PRODUCT, products.get_many, CacheMode.REDIS) as loaded,
        ):
            unknown, known = _Keys(count(_UNKNOWN)), _Keys(cycle(range(READ_PRODUCTS)))
            yield [
                bench.cold_reads(_ALONE, given, unknown, 1),
                bench.cold_reads(_TOGETHER, given, unknown, _MANY),
                bench.cold_reads(_LOADED, loaded, known, _MANY),
                bench.forgetting(_FORGET, loaded, known, 1),
                bench.forgetting(_FORGET_TOGETHER, loaded, known, _MANY),
            ]


GROUPS: Final = (
    Group("cold read", (_ALONE, _TOGETHER, _LOADED, _FORGET, _FORGET_TOGETHER), _opened),
)
