"""Figures about how loaded a server is."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.common.rpc.interceptors.concurrency_limit import ConcurrencyLimitInterceptor
from services.common.rpc.load_gauge import LoadGauge


class LoadMetrics(Collector):
    """The concurrency limit, what it holds back, and how far the event loop is behind."""

    def __init__(self, limiter: ConcurrencyLimitInterceptor, load: LoadGauge) -> None:
        self._limiter = limiter
        self._load = load

    def collect(self) -> Iterable[Metric]:
        """Return the samples of this moment."""
        limiter = self._limiter
        yield GaugeMetricFamily(
            "shop_concurrency_limit", "Calls that may be in flight.", value=limiter.limit
        )
        yield GaugeMetricFamily(
            "shop_calls_let_in", "Calls in flight within the limit.", value=limiter.in_flight
        )
        yield GaugeMetricFamily(
            "shop_calls_queued", "Calls waiting to be let in.", value=limiter.queued
        )
        yield CounterMetricFamily(
            "shop_calls_shed", "Calls refused for overload.", value=limiter.refused
        )
        yield GaugeMetricFamily(
            "shop_event_loop_lag_seconds", "How late the loop is.", value=self._load.lag_s
        )
