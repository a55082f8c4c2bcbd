"""The figures of password hashing, for Prometheus."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.user.figures import HashFigures


class HashMetrics(Collector):
    """How busy the hashing is, and whom it refused."""

    def __init__(self, figures: HashFigures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        """Return the samples of this moment."""
        f = self._figures
        yield GaugeMetricFamily(
            "shop_hash_places", "Places for calls that hash passwords.", value=f.places
        )
        yield GaugeMetricFamily("shop_hash_taken", "Places that calls hold.", value=f.taken)
        yield CounterMetricFamily("shop_hash_done", "Hashes made.", value=f.made)
        yield CounterMetricFamily(
            "shop_hash_refused", "Calls refused for want of a place.", value=f.refused
        )
        yield CounterMetricFamily(
            "shop_hash_seconds", "Time that hashes took, with their wait.", value=f.seconds
        )
