"""The figures of caches, for Prometheus."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from services.common.cache.breaker import Breaker, BreakerState
from services.common.cache.figures import CacheFigures
from services.common.cache.near import Near
from services.common.telemetry.histogram import Histogram

_CACHE: Final = ("cache",)


@dataclass(frozen=True, slots=True)
class _Measured:
    name: str
    figures: CacheFigures
    breaker: Breaker
    near: Near[Any]


class CacheMetrics(Collector):
    """What the caches of a process did, each under the name of its lookup."""

    def __init__(self) -> None:
        self._caches: list[_Measured] = []

    def add(self, name: str, figures: CacheFigures, breaker: Breaker, near: Near[Any]) -> None:
        """Include a cache."""
        self._caches.append(_Measured(name, figures, breaker, near))

    def collect(self) -> Iterable[Metric]:
        """Return the samples of this moment."""
        yield self._requests()
        yield self._invalidations()
        yield self._breakers()
        yield from self._nears()
        yield self._histogram(
            "shop_cache_load_seconds", "How long loads from MongoDB took.", lambda f: f.load_s
        )
        yield self._histogram(
            "shop_cache_near_lag_seconds",
            "How long invalidations were under way.",
            lambda f: f.lag_s,
        )
        batches = HistogramMetricFamily(
            "shop_cache_batch_keys", "Keys per round trip.", labels=("cache", "store")
        )
        for cache in self._caches:
            for store, keys in (
                ("redis", cache.figures.redis_keys),
                ("mongo", cache.figures.mongo_keys),
            ):
                batches.add_metric((cache.name, store), keys.cumulative(), keys.total)
        yield batches

    def _requests(self) -> Metric:
        family = CounterMetricFamily(
            "shop_cache_requests",
            "Values asked for, by the layer that was asked and what it had.",
            labels=("cache", "layer", "result"),
        )
        for cache in self._caches:
            f = cache.figures
            for layer, result, count in (
                ("near", "hit", f.near_hit),
                ("near", "absent", f.near_absent),
                ("near", "miss", f.near_miss),
                ("redis", "hit", f.redis_hit),
                ("redis", "absent", f.redis_absent),
                ("redis", "miss", f.redis_miss),
                ("redis", "waited", f.redis_waited),
                ("redis", "unreadable", f.redis_unreadable),
                ("redis", "error", f.redis_error),
                ("mongo", "hit", f.mongo_hit),
                ("mongo", "absent", f.mongo_absent),
                ("mongo", "error", f.mongo_error),
                ("bypass", "hit", f.bypassed),
            ):
                family.add_metric((cache.name, layer, result), count)
        return family

    def _invalidations(self) -> Metric:
        family = CounterMetricFamily(
            "shop_cache_invalidations",
            "Values that had to be forgotten: sent at once, or lost and delivered later.",
            labels=("cache", "result"),
        )
        for cache in self._caches:
            family.add_metric((cache.name, "sent"), cache.figures.invalidations_sent)
            family.add_metric((cache.name, "lost"), cache.figures.invalidations_lost)
        return family

    def _breakers(self) -> Metric:
        family = GaugeMetricFamily(
            "shop_cache_breaker_state",
            "1 for the state that the breaker before Redis is in.",
            labels=("cache", "state"),
        )
        for cache in self._caches:
            for state in BreakerState:
                family.add_metric((cache.name, state.value), int(cache.breaker.state is state))
        return family

    def _nears(self) -> Iterable[Metric]:
        entries = GaugeMetricFamily(
            "shop_cache_near_entries", "Values in the memory of the process.", labels=_CACHE
        )
        size = GaugeMetricFamily(
            "shop_cache_near_bytes", "The most memory that they take.", labels=_CACHE
        )
        evicted = CounterMetricFamily(
            "shop_cache_near_evicted", "Values that made room for others.", labels=_CACHE
        )
        dropped = CounterMetricFamily(
            "shop_cache_near_dropped",
            "Times that all were dropped in doubt.",
            labels=_CACHE,
        )
        for cache in self._caches:
            name = (cache.name,)
            entries.add_metric(name, len(cache.near))
            size.add_metric(name, cache.near.bytes)
            evicted.add_metric(name, cache.near.evicted)
            dropped.add_metric(name, cache.figures.dropped)
        return entries, size, evicted, dropped

    def _histogram(
        self, name: str, documentation: str, of: Callable[[CacheFigures], Histogram]
    ) -> Metric:
        family = HistogramMetricFamily(name, documentation, labels=_CACHE)
        for cache in self._caches:
            histogram = of(cache.figures)
            family.add_metric((cache.name,), histogram.cumulative(), histogram.total)
        return family
