"""The figures of caches, for Prometheus."""

from collections.abc import Iterable
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from services.common.cache.backstop import BackstopFigures
from services.common.cache.breaker import Breaker, BreakerState
from services.common.cache.figures import CacheFigures
from services.common.cache.invalidation import Invalidations
from services.common.cache.near import Near
from services.common.telemetry.histogram import Histogram


class CacheMetrics(Collector):
    """What the cache of one lookup did in this process, under the lookup's name.

    Whether the near cache is proven is told only where it is used.
    """

    def __init__(
        self,
        name: str,
        figures: CacheFigures,
        breaker: Breaker,
        near: Near[Any],
        invalidations: Invalidations,
        backstop: BackstopFigures,
        *,
        near_used: bool,
    ) -> None:
        self._name = name
        self._figures = figures
        self._breaker = breaker
        self._near = near
        self._near_used = near_used
        self._owing = invalidations
        self._backstop = backstop

    def collect(self) -> Iterable[Metric]:
        """Return the samples of this moment."""
        figures = self._figures
        yield self._requests()
        yield self._invalidations()
        yield self._gauge(
            "shop_cache_owed_keys",
            "Values that Redis still has to forget; 100,000 stands for all.",
            self._owing.owed,
        )
        yield self._state()
        yield from self._memory()
        yield self._histogram(
            "shop_cache_load_seconds", "How long loads from MongoDB took.", figures.load_s
        )
        yield self._histogram(
            "shop_cache_near_lag_seconds", "How long invalidations were under way.", figures.lag_s
        )
        yield self._batches()
        yield from self._changes()
        yield self._counter(
            "shop_cache_restarts",
            "Times that work beside the calls ended unexpectedly and began again.",
            figures.restarts,
        )

    def _requests(self) -> Metric:
        family = CounterMetricFamily(
            "shop_cache_requests",
            "Values asked for, by the layer that was asked and what it had.",
            labels=("cache", "layer", "result"),
        )
        f = self._figures
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
            family.add_metric((self._name, layer, result), count)
        return family

    def _invalidations(self) -> Metric:
        family = CounterMetricFamily(
            "shop_cache_invalidations",
            "Values that had to be forgotten: sent at once, lost and sent later, and replayed.",
            labels=("cache", "result"),
        )
        family.add_metric((self._name, "sent"), self._figures.invalidations_sent)
        family.add_metric((self._name, "lost"), self._figures.invalidations_lost)
        family.add_metric((self._name, "replayed"), self._backstop.keys)
        return family

    def _state(self) -> Metric:
        family = GaugeMetricFamily(
            "shop_cache_breaker_state",
            "1 for the state that the breaker before Redis is in.",
            labels=("cache", "state"),
        )
        for state in BreakerState:
            family.add_metric((self._name, state.value), int(self._breaker.state is state))
        return family

    def _memory(self) -> Iterable[Metric]:
        yield self._gauge(
            "shop_cache_near_entries", "Values in the memory of the process.", len(self._near)
        )
        yield self._gauge(
            "shop_cache_near_bytes", "The most memory that they take.", self._near.bytes
        )
        yield self._counter(
            "shop_cache_near_evicted", "Values that made room for others.", self._near.evicted
        )
        yield self._counter(
            "shop_cache_near_dropped",
            "Times that all were dropped.",
            self._figures.dropped,
        )
        if self._near_used:
            yield self._gauge(
                "shop_cache_near_proven",
                "1 while it is proven that no invalidation is missing: else nothing near is used.",
                int(self._near.proven),
            )

    def _batches(self) -> Metric:
        family = HistogramMetricFamily(
            "shop_cache_batch_keys", "Keys per round trip.", labels=("cache", "store")
        )
        for store, keys in (
            ("redis", self._figures.redis_keys),
            ("mongo", self._figures.mongo_keys),
        ):
            family.add_metric((self._name, store), keys.cumulative(), keys.total)
        return family

    def _changes(self) -> Iterable[Metric]:
        backstop = self._backstop
        yield self._gauge(
            "shop_cache_backstop_holding",
            "1 in the process that watches the changes in MongoDB.",
            int(backstop.holding),
        )
        yield self._gauge(
            "shop_cache_backstop_lag_seconds",
            "Age of the last change seen.",
            backstop.lag_s,
        )
        yield self._counter(
            "shop_cache_backstop_rewinds",
            "Times that the changes of the last minutes were repeated.",
            backstop.rewinds,
        )
        yield self._counter(
            "shop_cache_backstop_forgotten",
            "Times that all values were forgotten, since changes were unknown.",
            backstop.forgotten,
        )

    def _gauge(self, name: str, documentation: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, documentation, labels=("cache",))
        family.add_metric((self._name,), value)
        return family

    def _counter(self, name: str, documentation: str, value: float) -> Metric:
        family = CounterMetricFamily(name, documentation, labels=("cache",))
        family.add_metric((self._name,), value)
        return family

    def _histogram(self, name: str, documentation: str, histogram: Histogram) -> Metric:
        family = HistogramMetricFamily(name, documentation, labels=("cache",))
        family.add_metric((self._name,), histogram.cumulative(), histogram.total)
        return family
