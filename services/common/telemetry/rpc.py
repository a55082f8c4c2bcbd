"""Figures about the calls a server handles, under the names of go-grpc-prometheus.

They are bumped as plain numbers, and become Prometheus samples only when scraped.
"""

from collections.abc import Iterable
from typing import Final

import grpc
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from services.common.telemetry.histogram import Histogram

BUCKETS_S: Final = (
    25e-6, 50e-6, 100e-6, 250e-6, 500e-6,
    1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3,
    1.0, 2.5, 5.0, 10.0,
)  # fmt: skip

_METHOD_LABELS: Final = ("grpc_service", "grpc_method")


class MethodSeries:
    """The figures of one method."""

    __slots__ = ("failures", "labels", "ok", "seconds", "started")

    def __init__(self, service: str, method: str) -> None:
        self.labels: Final = (service, method)
        self.started = 0
        self.ok = 0
        self.failures: dict[grpc.StatusCode, int] = {}
        self.seconds = Histogram(BUCKETS_S)

    def succeeded(self, elapsed_s: float) -> None:
        """Count a call that ended with OK."""
        self.ok += 1
        self.seconds.add(elapsed_s)

    def failed(self, code: grpc.StatusCode, elapsed_s: float) -> None:
        """Count a call that ended with another status."""
        self.failures[code] = self.failures.get(code, 0) + 1
        self.seconds.add(elapsed_s)

    @property
    def handled(self) -> int:
        """How many calls have ended."""
        return self.ok + sum(self.failures.values())


class RpcMetrics(Collector):
    """The figures of all methods of a server."""

    def __init__(self) -> None:
        self._series: dict[str, MethodSeries] = {}

    def of(self, method_name: str) -> MethodSeries:
        """Return the figures of ``/package.Service/Method``, counting from 0 at first."""
        series = self._series.get(method_name)
        if series is None:
            _, service, method = method_name.split("/")
            series = self._series[method_name] = MethodSeries(service, method)
        return series

    @property
    def in_flight(self) -> int:
        """How many calls of all methods have begun and not ended."""
        return sum(series.started - series.handled for series in self._series.values())

    def collect(self) -> Iterable[Metric]:
        """Return the samples of this moment."""
        started = CounterMetricFamily("grpc_server_started", "Calls begun.", labels=_METHOD_LABELS)
        handled = CounterMetricFamily(
            "grpc_server_handled",
            "Calls ended, by the status that the client got.",
            labels=(*_METHOD_LABELS, "grpc_code"),
        )
        handling = HistogramMetricFamily(
            "grpc_server_handling_seconds", "How long calls took.", labels=_METHOD_LABELS
        )
        in_flight = GaugeMetricFamily(
            "grpc_server_in_flight", "Calls begun and not ended.", labels=_METHOD_LABELS
        )
        for series in self._series.values():
            started.add_metric(series.labels, series.started)
            codes = {grpc.StatusCode.OK: series.ok, **series.failures}
            for code, count in codes.items():
                handled.add_metric((*series.labels, code.name), count)
            handling.add_metric(series.labels, series.seconds.cumulative(), series.seconds.total)
            in_flight.add_metric(series.labels, series.started - series.handled)
        return started, handled, handling, in_flight
