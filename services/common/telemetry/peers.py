"""Figures about the calls a service makes to others, under the names of go-grpc-prometheus."""

import time
from collections.abc import Iterable

import grpc
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

_LABELS = ("grpc_service", "grpc_method")


class PeerMetrics(Collector):
    """How many calls were made, how they ended and how long they took in all."""

    def __init__(self) -> None:
        self._handled: dict[tuple[str, str, str], int] = {}
        self._seconds: dict[tuple[str, str], float] = {}

    def count(self, service: str, method: str, code: grpc.StatusCode, started: float) -> None:
        """Count a call that began at ``started``, in seconds of ``time.perf_counter``."""
        ended = (service, method, code.name)
        self._handled[ended] = self._handled.get(ended, 0) + 1
        seconds = self._seconds.get((service, method), 0.0)
        self._seconds[service, method] = seconds + time.perf_counter() - started

    def collect(self) -> Iterable[Metric]:
        """Return the samples of this moment."""
        handled = CounterMetricFamily(
            "grpc_client_handled",
            "Calls to other services ended, by status.",
            labels=(*_LABELS, "grpc_code"),
        )
        for labels, count in list(self._handled.items()):
            handled.add_metric(labels, count)
        seconds = CounterMetricFamily(
            "grpc_client_handling_seconds", "Time spent in calls to other services.", labels=_LABELS
        )
        for method, spent in list(self._seconds.items()):
            seconds.add_metric(method, spent)
        return handled, seconds
