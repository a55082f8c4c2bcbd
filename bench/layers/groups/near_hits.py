"""Reads that the process answers from its own memory."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any, Final

from shop.inventory.v1.inventory_pb2 import BatchGetProductsRequest, GetProductRequest

from bench.cache_shop import shuffled
from bench.layers.caches import opened_cache, products_in_mongo
from bench.layers.contest import Group
from bench.layers.members import Local, Member, awaited
from bench.layers.setting import READ_PRODUCTS, Setting
from bench.seeds import nth_id
from services.common.cache.wiring import CacheMode
from services.inventory.cached import PRODUCT, CachedProducts
from services.inventory.handler import InventoryHandler
from services.inventory.usecases import InventoryUseCases

_GET: Final = "a product"
_GET_MANY: Final = "20 products"
_SERVED: Final = "GetProduct, without its call"
_SERVED_MANY: Final = "BatchGetProducts of 20, without its call"
_MANY: Final = 20
_HIT: Final = ("near", "hit")
_UNUSED: Final[Any] = None


@asynccontextmanager
async def _opened(setting: Setting) -> AsyncIterator[Sequence[Member]]:
    async with (
        products_in_mongo(setting) as (mongo, products),
        opened_cache(setting, mongo, PRODUCT, products.get_many, CacheMode.NEAR) as cache,
    ):
        await cache.until_near([nth_id(number) for number in range(READ_PRODUCTS)])
        values = cache.values
        handler = InventoryHandler(InventoryUseCases(CachedProducts(products, values), _UNUSED))
        ids = cycle([nth_id(number) for number in shuffled(READ_PRODUCTS)])
        twenties = cycle([_twenty(first) for first in range(READ_PRODUCTS // _MANY)])
        one, many = cache.claim({_HIT: 1}), cache.claim({_HIT: _MANY})
        yield [
            Local(_GET, awaited(lambda: values.get(next(ids)), lambda it: it is not None), one),
            Local(
                _GET_MANY,
                awaited(
                    lambda: values.get_many(next(twenties)),
                    lambda found: len(found) == _MANY,
                ),
                many,
            ),
            Local(
                _SERVED,
                awaited(
                    lambda: handler.GetProduct(GetProductRequest(product_id=next(ids)), _UNUSED),
                    lambda answer: isinstance(answer, bytes),
                ),
                one,
            ),
            Local(
                _SERVED_MANY,
                awaited(
                    lambda: handler.BatchGetProducts(
                        BatchGetProductsRequest(product_ids=next(twenties)), _UNUSED
                    ),
                    lambda answer: isinstance(answer, bytes),
                ),
                many,
            ),
        ]


def _twenty(number: int) -> list[str]:
    return [nth_id(number * _MANY + place) for place in range(_MANY)]


GROUPS: Final = (Group("near hit", (_GET, _GET_MANY, _SERVED, _SERVED_MANY), _opened),)
