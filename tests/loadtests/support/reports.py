"""Made-up reports: like those of a run of the A/B for two minutes, and the same for one seed."""

from dataclasses import dataclass, replace
from math import ceil, log
from random import Random

from loadtests.results import (
    Comparison,
    Moment,
    Percentiles,
    Process,
    Report,
    Run,
    Sample,
    Schedule,
    Stock,
    Threshold,
)
from tests.loadtests.support.histograms import encoded

SECONDS = 120
CURVE = (0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 100)


@dataclass(frozen=True, slots=True)
class Arm:
    """A method in an arm: its median, how wide it spreads, and where answers come from."""

    method: str
    lookup: str
    arm: str
    median_ms: float
    sigma: float
    per_s: int
    sources: tuple[tuple[str, float], ...] = ()
    errors: tuple[tuple[str, int], ...] = ()


ARMS = (
    Arm("GetProduct", "product:", "near", 0.52, 0.35, 60, (("near", 0.968), ("redis", 0.029))),
    Arm("GetProduct", "product:", "redis", 1.34, 0.38, 60, (("redis", 0.991), ("mongo", 0.009))),
    Arm("GetProduct", "product:", "mongo", 4.1, 0.45, 60, (("mongo", 1.0),)),
    Arm("ListUserOrders", "user_orders:", "near", 0.71, 0.4, 30, (("near", 0.912),)),
    Arm("ListUserOrders", "user_orders:", "redis", 1.62, 0.4, 30, (("redis", 0.974),)),
    Arm("ListUserOrders", "user_orders:", "mongo", 5.9, 0.5, 30, (("mongo", 1.0),)),
    Arm("ListProducts", "", "", 3.2, 0.4, 12),
    Arm("CreateOrder", "", "", 21.4, 0.35, 4, errors=(("RESOURCE_EXHAUSTED", 3), ("ABORTED", 1))),
)

SERVER_MS = {
    "GetProduct": 0.4127,
    "ListUserOrders": 0.6381,
    "ListProducts": 1.904,
    "CreateOrder": 14.23,
}


def made_up(seed: int = 1, *, slower: float = 1.0, seconds: int = SECONDS) -> Report:
    """A report whose latencies are drawn anew for each seed, all ``slower`` times as long."""
    draws = Random(seed)  # noqa: S311
    drawn = [_drawn(arm, draws, slower, seconds) for arm in ARMS]
    samples = [sample for sample, _ in drawn]
    return Report(
        run=RUN,
        samples=samples,
        comparisons=_comparisons(samples),
        timeline=[moment for _, moments in drawn for moment in moments],
        processes=[
            replace(each, cpu_us_per_request=round(each.cpu_us_per_request * slower, 2))
            for each in PROCESSES
        ],
        thresholds=[
            Threshold("p99 of GetProduct/near, ms", 5.0, samples[0].latency_ms.p99, passed=True),
            Threshold("share of errors of CreateOrder", 0.001, 4 / samples[-1].count, passed=False),
        ],
        notes=["The load generator used 96 % of a CPU: above that, it is what was measured."],
        schedule=Schedule(
            started=34_210, late=812, unattended=790, never_started=3, worst_ms=41.27
        ),
        stock=Stock(products=1_000, pieces_sold=912, open_orders=1, wrong=["lamp-17"]),
    )


def sample_of(latencies_ms: list[float], **changes: object) -> Sample:
    """A sample with these latencies, by default of GetProduct in the arm near."""
    ordered = sorted(latencies_ms)
    sample = Sample(
        method="GetProduct",
        lookup="product:",
        arm="near",
        count=len(ordered),
        errors={},
        rate_per_s=len(ordered) / SECONDS,
        latency_ms=_percentiles(ordered),
        curve=[(float(share), _at(ordered, share)) for share in CURVE],
        histogram=encoded(round(value * 1000) for value in ordered),
        sources={"near": len(ordered)},
        server_ms=0.05,
    )
    return replace(sample, **changes)  # type: ignore[arg-type]


def report_with(*samples: Sample, **changes: object) -> Report:
    """A report with these samples and little else."""
    report = Report(run=RUN, samples=list(samples), comparisons=[], timeline=[], processes=[])
    return replace(report, **changes)  # type: ignore[arg-type]


def _drawn(arm: Arm, draws: Random, slower: float, seconds: int) -> tuple[Sample, list[Moment]]:
    moments, all_of_it = [], []
    for second in range(seconds):
        latencies = [
            draws.lognormvariate(log(arm.median_ms * slower), arm.sigma)
            * (6 if draws.random() < 0.004 else 1)
            for _ in range(max(0, round(draws.gauss(arm.per_s, arm.per_s**0.5 / 2))))
        ]
        all_of_it += latencies
        moments.append(_moment(second, arm, sorted(latencies)))
    count = len(all_of_it)
    sample = sample_of(
        all_of_it,
        method=arm.method,
        lookup=arm.lookup,
        arm=arm.arm,
        errors=dict(arm.errors),
        rate_per_s=round(count / seconds, 3),
        sources={source: round(share * count) for source, share in arm.sources},
        server_ms=SERVER_MS[arm.method],
    )
    return sample, moments


def _moment(second: int, arm: Arm, ordered: list[float]) -> Moment:
    return Moment(
        at_s=float(second),
        method=arm.method,
        arm=arm.arm,
        users=min(32, 2 + second * 6),
        count=len(ordered),
        errors=1 if arm.errors and second in {31, 32, 77} else 0,
        p50_ms=_at(ordered, 50) if ordered else None,
        p99_ms=_at(ordered, 99) if ordered else None,
    )


def _percentiles(ordered: list[float]) -> Percentiles:
    return Percentiles(
        p50=_at(ordered, 50),
        p90=_at(ordered, 90),
        p99=_at(ordered, 99),
        p99_9=_at(ordered, 99.9),
        max=_at(ordered, 100),
        mean=round(sum(ordered) / len(ordered), 3) if ordered else 0.0,
    )


def _at(ordered: list[float], share: float) -> float:
    """The nearest rank's value, to a hundredth of a millisecond."""
    return round(ordered[max(0, ceil(share / 100 * len(ordered)) - 1)], 2) if ordered else 0.0


def _comparisons(samples: list[Sample]) -> list[Comparison]:
    found = []
    for base in (sample for sample in samples if sample.arm == "mongo"):
        for arm in ("near", "redis"):
            (other,) = (each for each in samples if (each.method, each.arm) == (base.method, arm))
            speedup = base.latency_ms.p50 / other.latency_ms.p50
            found.append(
                Comparison(
                    method=base.method,
                    lookup=base.lookup,
                    base="mongo",
                    arm=arm,
                    speedup=speedup,
                    low=speedup * 0.982,
                    high=speedup * 1.019,
                    confidence=0.95,
                    resamples=2000,
                )
            )
    return found


RUN = Run(
    command="make load ARGS='--scenario mixed --users 32 --duration 120 --seed 7'",
    started="2026-11-23T20:06:49+00:00",
    scenario="mixed",
    model="closed",
    shape="constant",
    users=32,
    rate_per_s=None,
    duration_s=120.0,
    warmup_s=10.0,
    zipf_exponent=0.99,
    seed=7,
    settings={
        "--think": "0",
        "--customers": "20",
        "--channels": "user",
        "SHOP_CACHE_CONTROL": "any",
        "SHOP_LOG_LEVEL": "warning",
    },
    machine={
        "system": "Linux 6.1.0 x86_64",
        "cpu": "AMD EPYC",
        "cores": "4",
        "memory_gib": "15.6",
        "load_average_before": "0.29 0.41 0.84",
    },
    versions={
        "commit": "decdc3f91afe72a5d0d93ef69ff520e729c5efd6",
        "load generator python": "3.11.7",
        "load generator locust": "2.47.0",
        "services grpcio": "1.78.2",
        "services pygrpc-native": "0.5.0",
        "mongodb": "db version v6.0.5",
        "redis": "Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64 build=1536df31c0395150",
    },
)
PROCESSES = (
    Process("inventory", 3.62, 22_800, 158.77),
    Process("order", 2.21, 11_280, 195.92),
    Process("user", 0.11, 32, 3437.5),
    Process("mongodb", 6.48, 34_100, 190.03),
    Process("redis", 0.93, 34_100, 27.27),
    Process("load generator", 15.4, 34_100, 451.61),
)
