"""Where nothing is traced, nothing that traces stands at any seam; where calls are, it does."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

from shop.inventory.v1 import inventory_pb2

from bench.rpc import INTERCEPTORS
from services.common.auth.tokens import TokenVerifier
from services.common.batching import Batcher
from services.common.cache.near import NearOptions
from services.common.cache.wiring import CacheMode, CacheOptions, OpenCache, open_cache
from services.common.instruments import NO_INSTRUMENTS, Instruments
from services.common.mongo import MongoDriver, MongoOptions, as_domain_error, open_mongo
from services.common.redis.one import OneRedis
from services.common.redis.servers import RedisOptions
from services.common.rpc.chain import Chain, ChainOptions, LimitKind
from services.common.rpc.channel import PeerCaller
from services.common.rpc.service import Service
from services.common.snapshot import Snapshot
from services.common.tracing.assembly import instruments_of
from services.common.tracing.flights import TracedBatcher
from services.common.tracing.opening import log_processors, open_instruments
from services.common.tracing.options import TracingMode, TracingOptions
from services.common.tracing.redis import TracedRedis
from services.inventory.access import ACCESS
from services.inventory.cached import PRODUCT
from services.inventory.model import Product
from services.inventory.repository import PRODUCT_CHANGES, MongoProducts
from tests.integration.conftest import PATIENT_MS
from tests.spans import Spans

OFF = TracingOptions(TracingMode.OFF, 1.0)


@asynccontextmanager
async def opened(
    mongo_uri: str, redis_url: str, database: str, instruments: Instruments
) -> AsyncIterator[tuple[MongoProducts, OpenCache[Product]]]:
    """Open a store and a cache as the composition root does."""
    options = MongoOptions(mongo_uri, MongoDriver.PYMONGO, PATIENT_MS)
    near = NearOptions(10, 10_000, 1.0)
    caching = CacheOptions(CacheMode.NEAR, near, RedisOptions(redis_url, PATIENT_MS))

    async def load(value_ids: Collection[str]) -> Mapping[str, Snapshot[Product]]:
        return {}

    async with (
        open_mongo(options, database, instruments.mongo_listeners) as mongo,
        open_cache(PRODUCT, load, mongo, PRODUCT_CHANGES, caching, instruments) as cache,
    ):
        yield MongoProducts(mongo, instruments.batcher), cache


def interceptors(instruments: Instruments) -> list[str]:
    """Return what is round every method."""
    descriptor = inventory_pb2.DESCRIPTOR.services_by_name["InventoryService"]
    service = Service(descriptor, object(), ACCESS, max_s={})
    options = ChainOptions(LimitKind.ADAPTIVE, max_in_flight=8, log_every_call=False)
    chain = Chain(service, TokenVerifier({}), as_domain_error, options, instruments.interceptors)
    return [type(interceptor).__name__ for interceptor in chain.interceptors]


async def test_without_traces_every_part_is_the_plain_one(
    mongo_uri: str, redis_url: str, database: str
) -> None:
    assert log_processors(OFF) == ()
    async with open_instruments("inventory", OFF) as instruments:
        assert instruments is NO_INSTRUMENTS
    assert instruments.peer_caller is PeerCaller
    assert instruments.mongo_listeners == ()
    assert interceptors(instruments) == list(INTERCEPTORS)
    async with opened(mongo_uri, redis_url, database, instruments) as (products, cache):
        assert type(cache.redis) is OneRedis
        assert {
            type(batcher)
            for batcher in (
                products._reads,
                cache.values._looks,
                cache.values._loads,
                cache.values._fills,
                cache.values._invalidations._sending,
            )
        } == {Batcher}


async def test_with_traces_what_makes_spans_stands_at_every_seam(
    mongo_uri: str, redis_url: str, database: str
) -> None:
    instruments = instruments_of(Spans().tracer, 1.0)
    first, second, *others = INTERCEPTORS
    assert interceptors(instruments) == [first, second, "TracingInterceptor", *others]
    async with opened(mongo_uri, redis_url, database, instruments) as (products, cache):
        assert type(cache.values._shared._redis) is TracedRedis  # type: ignore[attr-defined]
        assert {
            type(batcher)
            for batcher in (
                products._reads,
                cache.values._looks,
                cache.values._loads,
                cache.values._fills,
                cache.values._invalidations._sending,
            )
        } == {TracedBatcher}
