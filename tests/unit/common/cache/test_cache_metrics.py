"""The page of a cache's figures, as Prometheus reads it."""

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from services.common.cache.backstop import BackstopFigures
from services.common.cache.metrics import CacheMetrics
from services.common.call import Call, enter_call
from services.common.freshness import Freshness
from tests.unit.common.cache.fakes import Parts

Samples = dict[tuple[str, ...], float]


@pytest.fixture
def parts() -> Iterator[Parts]:
    with capture_logs():
        yield Parts()


def samples(parts: Parts, name: str, *, near_used: bool = True) -> Samples:
    """The samples with this name, by their labels in order of name, without the cache's."""
    registry = CollectorRegistry()
    metrics = CacheMetrics(
        "name",
        parts.figures,
        parts.breaker,
        parts.near,
        parts.invalidations,
        BackstopFigures(),
        near_used=near_used,
    )
    registry.register(metrics)
    found: Samples = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            if sample.name == name:
                labels = dict(sample.labels)
                assert labels.pop("cache") == "name"
                found[tuple(labels[label] for label in sorted(labels))] = sample.value
    return found


def counted(parts: Parts, name: str) -> Samples:
    return {labels: value for labels, value in samples(parts, name).items() if value}


async def test_requests_are_counted_by_layer_and_result(parts: Parts) -> None:
    await parts.name("a")
    await parts.name("a")
    await parts.name("x")
    await parts.name("x")
    assert counted(parts, "shop_cache_requests_total") == {
        ("near", "miss"): 2,
        ("near", "hit"): 1,
        ("near", "absent"): 1,
        ("redis", "miss"): 2,
        ("mongo", "hit"): 1,
        ("mongo", "absent"): 1,
    }


async def test_what_redis_has_cannot_show_or_does_not_answer_is_told_apart(parts: Parts) -> None:
    other = Parts(parts.shared)
    await other.cache.get_many(["a", "x"])
    await other.cache.drain()
    await parts.cache.get_many(["a", "x"])
    parts.shared.values["b"] = b"unreadable"
    await parts.name("b")
    parts.shared.errors = [RedisError("no")]
    await parts.name("y")
    found = counted(parts, "shop_cache_requests_total")
    assert found["redis", "hit"] == found["redis", "absent"] == found["redis", "error"] == 1
    assert found["redis", "unreadable"] >= 1
    assert found["redis", "waited"] >= 1


async def test_what_goes_past_the_cache_and_what_the_store_refuses_is_counted(
    parts: Parts,
) -> None:
    call = Call("r")
    call.freshness = Freshness.STORE

    async def served() -> None:
        enter_call(call)
        await parts.cache.get_many(["a", "b"])
        parts.store.error = RuntimeError("no")
        with pytest.raises(RuntimeError):
            await parts.cache.get("a")

    await asyncio.create_task(served())
    found = counted(parts, "shop_cache_requests_total")
    assert found == {("bypass", "hit"): 3, ("mongo", "hit"): 2, ("mongo", "error"): 1}


async def test_all_layers_and_results_are_there_from_the_beginning(parts: Parts) -> None:
    assert samples(parts, "shop_cache_requests_total") == {
        **dict.fromkeys([("near", r) for r in ("hit", "absent", "miss")], 0),
        **dict.fromkeys(
            [("redis", r) for r in ("hit", "absent", "miss", "waited", "unreadable", "error")], 0
        ),
        **dict.fromkeys([("mongo", r) for r in ("hit", "absent", "error")], 0),
        ("bypass", "hit"): 0,
    }


async def test_keys_per_round_trip_are_counted_for_each_store(parts: Parts) -> None:
    await parts.cache.get_many(["a", "b", "x"])
    await parts.name("y")
    assert samples(parts, "shop_cache_batch_keys_count") == {("redis",): 2, ("mongo",): 2}
    assert samples(parts, "shop_cache_batch_keys_sum") == {("redis",): 4, ("mongo",): 4}
    buckets = samples(parts, "shop_cache_batch_keys_bucket")
    bounds = ("1", "2", "4", "256", "+Inf")
    assert [buckets[bound, "redis"] for bound in bounds] == [1, 1, 2, 2, 2]


async def test_loads_are_timed(parts: Parts) -> None:
    await parts.cache.get_many(["a", "b"])
    assert samples(parts, "shop_cache_load_seconds_count") == {(): 1}
    assert samples(parts, "shop_cache_load_seconds_sum")[()] < 60


async def test_the_state_of_the_breaker_is_the_one_that_is_1(parts: Parts) -> None:
    def states() -> Samples:
        return samples(parts, "shop_cache_breaker_state")

    assert states() == {("closed",): 1, ("settling",): 0, ("open",): 0}
    parts.breaker.open()
    assert states() == {("closed",): 0, ("settling",): 0, ("open",): 1}
    parts.breaker.recovered()
    assert states() == {("closed",): 0, ("settling",): 1, ("open",): 0}


async def test_invalidations_are_counted_as_sent_or_lost(parts: Parts) -> None:
    await parts.cache.invalidate(["a", "b"])
    parts.breaker.open()
    await parts.cache.invalidate(["c"])
    assert samples(parts, "shop_cache_invalidations_total") == {
        ("sent",): 2,
        ("lost",): 1,
        ("replayed",): 0,
    }


async def test_what_is_near_is_told_in_entries_and_bytes(parts: Parts) -> None:
    await parts.cache.get_many(["a", "b"])
    await parts.cache.drain()
    assert samples(parts, "shop_cache_near_entries") == {(): 2}
    assert samples(parts, "shop_cache_near_bytes") == {(): parts.near.bytes}
    assert parts.near.bytes > 0
    assert samples(parts, "shop_cache_near_evicted_total") == {(): 0}
    assert samples(parts, "shop_cache_near_dropped_total") == {(): 0}


async def test_how_long_invalidations_were_under_way_is_told_and_never_negative(
    parts: Parts,
) -> None:
    parts.figures.heard_after(0.002)
    parts.figures.heard_after(-5.0)  # clocks differ
    assert samples(parts, "shop_cache_near_lag_seconds_count") == {(): 2}
    assert samples(parts, "shop_cache_near_lag_seconds_sum") == {(): 0.002}


async def test_what_is_owed_is_told_until_it_is_paid(parts: Parts) -> None:
    def owed() -> Samples:
        return samples(parts, "shop_cache_owed_keys")

    assert owed() == {(): 0}
    parts.breaker.open()
    await parts.cache.invalidate(["a", "b"])
    await parts.cache.invalidate(["b"])
    assert owed() == {(): 2}
    await parts.invalidations.pay()
    assert owed() == {(): 0}


async def test_so_much_owed_that_all_is_to_be_forgotten_counts_as_the_most(parts: Parts) -> None:
    parts.breaker.open()
    await parts.cache.invalidate([str(n) for n in range(100_001)])
    assert samples(parts, "shop_cache_owed_keys") == {(): 100_000}


async def test_whether_the_near_cache_is_proven_is_told_where_it_is_used(parts: Parts) -> None:
    assert samples(parts, "shop_cache_near_proven") == {(): 1}
    parts.near.valid_until = 0.0
    assert samples(parts, "shop_cache_near_proven") == {(): 0}
    assert samples(parts, "shop_cache_near_proven", near_used=False) == {}
