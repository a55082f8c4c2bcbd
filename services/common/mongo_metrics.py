"""Figures about what a process asks of MongoDB."""

from collections.abc import Iterable
from time import perf_counter
from types import TracebackType
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from pymongo.errors import AutoReconnect, PyMongoError

from services.common.telemetry.histogram import Histogram

BOUNDS_S: Final = (
    250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 2.5,
)  # fmt: skip


class MongoMetrics(Collector):
    """How long operations on collections take, and how many are under way.

    Those that wait for a connection, of which there are ``pool_size`` to a server, are under way
    too. An operation is unanswered when MongoDB could not be reached or took too long.
    """

    def __init__(self, pool_size: int) -> None:
        self._pool_size = pool_size
        self.seconds: Final = Histogram(BOUNDS_S)
        self.in_flight = 0
        self.unanswered = 0

    def operation(self) -> "Operation":
        """Return what to enter while an operation is under way."""
        return Operation(self)

    def collect(self) -> Iterable[Metric]:
        """Return the samples of this moment."""
        seconds = HistogramMetricFamily(
            "shop_mongo_operation_seconds", "How long operations on collections took."
        )
        seconds.add_metric((), self.seconds.cumulative(), self.seconds.total)
        yield seconds
        yield GaugeMetricFamily(
            "shop_mongo_in_flight", "Operations under way.", value=self.in_flight
        )
        yield GaugeMetricFamily(
            "shop_mongo_pool_size", "The most connections to a server.", value=self._pool_size
        )
        yield CounterMetricFamily(
            "shop_mongo_unanswered",
            "Operations that found no server or took too long.",
            value=self.unanswered,
        )


class Operation:
    """One operation, from its beginning to its end."""

    __slots__ = ("_began", "_metrics")

    def __init__(self, metrics: MongoMetrics) -> None:
        self._metrics = metrics

    def __enter__(self) -> None:
        self._metrics.in_flight += 1
        self._began = perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        metrics = self._metrics
        metrics.in_flight -= 1
        metrics.seconds.add(perf_counter() - self._began)
        if isinstance(error, PyMongoError) and (error.timeout or isinstance(error, AutoReconnect)):
            metrics.unanswered += 1
