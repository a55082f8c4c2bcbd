"""What reads cost in round trips, counted exactly."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from shop.inventory.v1 import inventory_pb2 as pb

from services.common.ids import new_id
from services.common.redis.one import OneRedis
from services.common.redis.servers import Item
from services.common.snapshot import Snapshot
from services.inventory.cached import PRODUCT, CachedProducts, CachedReservations
from services.inventory.handler import InventoryHandler
from services.inventory.model import Product
from services.inventory.repository import MongoProducts, MongoReservations
from services.inventory.usecases import InventoryUseCases
from tests.integration.cache.conftest import Shop
from tests.integration.caches import Opened, opened_cache
from tests.unit.common.fakes import FakeContext


class CountedRedis(OneRedis):
    """Redis, and how many round trips were made to it."""

    round_trips = 0

    async def run(
        self, script: str, items: Sequence[Item], *arguments: str | bytes | int
    ) -> Sequence[Any]:
        self.round_trips += 1
        return await super().run(script, items, *arguments)


@dataclass
class Counted:
    """Products behind a cache without upkeep, and what reading them asks of the stores."""

    handler: InventoryHandler
    cache: Opened[Product]
    redis: CountedRedis
    queries: list[int] = field(default_factory=list)

    async def asked(self, product_ids: Collection[str]) -> tuple[int, list[int], int]:
        """Read all at once; return the round trips to Redis, the queries, and how many came."""
        self.redis.round_trips = 0
        self.queries.clear()
        request = pb.BatchGetProductsRequest(product_ids=product_ids)
        answer: Any = await self.handler.BatchGetProducts(request, FakeContext().context)
        looks = self.redis.round_trips
        await self.cache.values.drain()
        if not isinstance(answer, pb.BatchGetProductsResponse):
            answer = pb.BatchGetProductsResponse.FromString(answer)
        return looks, list(self.queries), len(answer.products)


@pytest.fixture
async def counted(shop: Shop) -> AsyncIterator[Counted]:
    products, queries = MongoProducts(shop.mongo), list[int]()
    redis = CountedRedis(shop.redis, timeout_s=10.0)

    async def load(product_ids: Collection[str]) -> Mapping[str, Snapshot[Product]]:
        queries.append(len(product_ids))
        return await products.get_many(product_ids)

    async with opened_cache(redis, PRODUCT, load, upkeep=False) as cache:
        await cache.until_near()
        usecases = InventoryUseCases(
            CachedProducts(products, cache.values),
            CachedReservations(MongoReservations(shop.mongo), cache.values),
        )
        yield Counted(InventoryHandler(usecases), cache, redis, queries)


async def test_a_hundred_products_cost_one_query_then_one_round_trip_and_then_nothing(
    shop: Shop, counted: Counted
) -> None:
    ids = [(await shop.inventory.stocked(1)).product_id for _ in range(99)] + [new_id()]
    assert await counted.asked(ids) == (1, [100], 99)
    counted.cache.near.forget(ids)
    assert await counted.asked(ids) == (1, [], 99)
    assert await counted.asked(ids) == (0, [], 99)


async def test_what_redis_lacks_of_a_hundred_costs_one_query(shop: Shop, counted: Counted) -> None:
    ids = [(await shop.inventory.stocked(1)).product_id for _ in range(100)]
    await counted.asked(ids[:60])
    counted.cache.near.forget(ids)
    assert await counted.asked(ids) == (1, [40], 100)


async def test_a_cold_read_costs_two_round_trips_to_redis_and_one_query(
    shop: Shop, counted: Counted
) -> None:
    only = (await shop.inventory.stocked(1)).product_id
    assert (await counted.asked([only]))[1:] == ([1], 1)
    assert counted.redis.round_trips == 2
