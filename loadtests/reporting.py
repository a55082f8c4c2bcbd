"""From what was measured to the report."""

from collections.abc import Iterator
from typing import Final

from loadtests.arms import ARMS, LOOKUPS, MONGO
from loadtests.bootstrap import CONFIDENCE, RESAMPLES, ratio_of_medians
from loadtests.latency import Distribution
from loadtests.ledger import Ledger, Total
from loadtests.observation import Observation
from loadtests.recorder import Key
from loadtests.results import Comparison, Sample

_ORDER: Final = {arm.name: place for place, arm in enumerate(ARMS)}


def samples(ledger: Ledger, duration_s: float, observed: Observation) -> list[Sample]:
    """Return what the calls of each method and arm have shown, in the order of tables."""
    return [
        _sample(key, ledger.totals[key], duration_s, observed)
        for key in sorted(ledger.totals, key=lambda key: (key[0], _ORDER.get(key[1], 0)))
    ]


def comparisons(ledger: Ledger, seed: int) -> list[Comparison]:
    """Return how many times faster each arm is than MongoDB, for each method that has arms."""
    return list(_comparisons(ledger, seed))


def _sample(key: Key, total: Total, duration_s: float, observed: Observation) -> Sample:
    method, arm = key
    latencies = total.latencies_us
    distribution = Distribution(latencies)
    return Sample(
        method=method,
        lookup=LOOKUPS.get(method, ""),
        arm=arm,
        count=latencies.total(),
        errors=dict(total.errors),
        rate_per_s=latencies.total() / duration_s,
        latency_ms=distribution.percentiles(),
        curve=distribution.curve(),
        histogram=distribution.encoded(),
        sources=dict(total.sources),
        server_ms=observed.server_ms(method),
    )


def _comparisons(ledger: Ledger, seed: int) -> Iterator[Comparison]:
    for method, lookup in LOOKUPS.items():
        base = ledger.blocks((method, MONGO.name))
        for arm in ARMS:
            if arm is MONGO or (method, arm.name) not in ledger.totals:
                continue
            ratio = ratio_of_medians(base, ledger.blocks((method, arm.name)), seed)
            if ratio is not None:
                yield Comparison(
                    method=method,
                    lookup=lookup,
                    base=MONGO.name,
                    arm=arm.name,
                    speedup=ratio.value,
                    low=ratio.low,
                    high=ratio.high,
                    confidence=CONFIDENCE,
                    resamples=RESAMPLES,
                )
