"""Figures about what a service depends on, as the probes of its health see it."""

from collections.abc import Iterable
from time import perf_counter

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.common.rpc.health import Probe


class DependencyMetrics(Collector):
    """Whether each dependency answered its last probe, and how long that took."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[bool, float]] = {}

    def watched(self, name: str, probe: Probe) -> Probe:
        """Return the probe of this dependency, from now on noted whenever it is used."""

        async def noted() -> None:
            began = perf_counter()
            try:
                await probe()
            except Exception:
                self._last[name] = (False, perf_counter() - began)
                raise
            self._last[name] = (True, perf_counter() - began)

        return noted

    def collect(self) -> Iterable[Metric]:
        """Return the samples of this moment."""
        up = GaugeMetricFamily(
            "shop_dependency_up", "1 if it answered the last probe.", labels=("dependency",)
        )
        seconds = GaugeMetricFamily(
            "shop_dependency_probe_seconds",
            "How long the last probe took.",
            labels=("dependency",),
        )
        for name, (answered, took_s) in list(self._last.items()):
            up.add_metric((name,), int(answered))
            seconds.add_metric((name,), took_s)
        return up, seconds
