"""Latency distributions as the report has them."""

from collections.abc import Mapping
from typing import Any, Final

from hdrh.histogram import HdrHistogram

from loadtests.recorder import LONGEST_US
from loadtests.results import Percentiles

# Finer than 0.01 ms up to 131 ms.
_SIGNIFICANT_DIGITS: Final = 4
_US_PER_MS: Final = 1_000
_QUANTILES: Final = (50.0, 90.0, 99.0, 99.9)
_CURVE: Final = (
    *(float(percentile) for percentile in range(100)),
    *(99 + tenths / 10 for tenths in range(10)),
    *(99.9 + hundredths / 100 for hundredths in range(1, 10)),
    100.0,
)


class Distribution:
    """Latencies in an HdrHistogram from 1 us to 60 s with 4 significant digits."""

    def __init__(self, latencies_us: Mapping[int, int]) -> None:
        self._histogram: Any = HdrHistogram(1, LONGEST_US, _SIGNIFICANT_DIGITS)
        for latency, count in latencies_us.items():
            self._histogram.record_value(latency, count)
        count = sum(latencies_us.values())
        total_us = sum(latency * times for latency, times in latencies_us.items())
        self._mean_us = total_us / count if count else 0.0  # the histogram would walk its buckets
        # In one pass: each percentile asked for by itself would walk through all buckets.
        self._at = self._histogram.get_percentile_to_value_dict(sorted({*_QUANTILES, *_CURVE}))

    def percentiles(self) -> Percentiles:
        """Return what the table shows."""
        p50, p90, p99, p99_9 = (self._ms(percentile) for percentile in _QUANTILES)
        return Percentiles(
            p50=p50,
            p90=p90,
            p99=p99,
            p99_9=p99_9,
            max=self._histogram.get_max_value() / _US_PER_MS,
            mean=self._mean_us / _US_PER_MS,
        )

    def curve(self) -> list[tuple[float, float]]:
        """Return points (percentile, milliseconds), ascending."""
        points = sorted(set(_CURVE))
        return [(percentile, self._ms(percentile)) for percentile in points]

    def encoded(self) -> str:
        """Return the whole distribution in microseconds, as HdrHistogram writes it in base64."""
        return bytes(self._histogram.encode()).decode()

    def _ms(self, percentile: float) -> float:
        return float(self._at[percentile]) / _US_PER_MS
