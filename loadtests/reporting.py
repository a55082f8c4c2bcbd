"""From what was measured to the report."""

from collections.abc import Iterator
from typing import Final

from loadtests.arms import ARMS, LOOKUPS, MONGO
from loadtests.bootstrap import CONFIDENCE, RESAMPLES, ratio_of_medians
from loadtests.latency import Distribution
from loadtests.ledger import Ledger, Total
from loadtests.observation import GENERATOR, Observation
from loadtests.recorder import Key
from loadtests.results import Comparison, Process, Sample, Schedule

_ORDER: Final = {arm.name: place for place, arm in enumerate(ARMS)}
_BUSY: Final = 0.7
_MUCH_LATE: Final = 0.01


def samples(ledger: Ledger, duration_s: float, observed: Observation) -> list[Sample]:
    """Return what the calls of each method and arm have shown, in the order of tables."""
    return [
        _sample(key, ledger.totals[key], duration_s, observed)
        for key in sorted(ledger.totals, key=lambda key: (key[0], _ORDER.get(key[1], 0)))
    ]


def comparisons(ledger: Ledger, seed: int) -> list[Comparison]:
    """Return how many times faster each arm is than MongoDB, for each method that has arms."""
    return list(_comparisons(ledger, seed))


def schedule(ledger: Ledger) -> Schedule:
    """Return how the open model's schedule was kept."""
    kept = ledger.punctuality
    return Schedule(kept.started, kept.late, kept.unattended, ledger.skipped, kept.worst_s * 1_000)


def cautions(kept: Schedule | None, processes: list[Process], duration_s: float) -> Iterator[str]:
    """Say what makes the figures those of the load generator rather than of the shop."""
    generator = next((process for process in processes if process.name == GENERATOR), None)
    if generator is not None and generator.cpu_s > _BUSY * duration_s:
        cores = generator.cpu_s / duration_s
        yield (
            f"The load generator used {cores:.2f} cores: in each of its processes calls wait for "
            "one core, and latencies hold that wait. Ask for less, or use --processes."
        )
    if kept is not None and kept.late + kept.never_started > _MUCH_LATE * max(kept.started, 1):
        yield (
            f"{kept.late:,} of {kept.started:,} scheduled calls started more than 10 ms late, "
            f"{kept.unattended:,} because all users were busy, and {kept.never_started:,} never."
        )


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
