"""What a dashboard is made of, as far as these need it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a panel shows its queries, by Grafana's names."""

    LINES = "timeseries"
    NUMBER = "stat"
    HEATMAP = "heatmap"


class Unit(StrEnum):
    """What a panel's values are, by Grafana's names."""

    CALLS_PER_S = "reqps"
    OPERATIONS_PER_S = "ops"
    PER_S = "cps"
    SECONDS = "s"
    SHARE = "percentunit"
    COUNT = "short"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Query:
    """What Prometheus is asked, and how its series are called: ``{{label}}`` is a label's value."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. The description says what it shows and what is good.

    ``warn`` colours values from it on; ``most`` is where the axis ends; ``width`` is out of 24.
    """

    title: str
    description: str
    unit: Unit
    queries: Sequence[Query]
    kind: Kind = Kind.LINES
    width: int = 8
    height: int = 8
    stacked: bool = False
    warn: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Panels under a common title."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """Something to choose from: the values of a label of a metric, any number of them."""

    name: str
    label: str
    metric: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One page. ``uid`` is its address and the name of its file."""

    uid: str
    title: str
    description: str
    variables: Sequence[Variable]
    sections: Sequence[Section]

    def panels(self) -> Iterator[Panel]:
        """Yield all panels."""
        for section in self.sections:
            yield from section.panels


JOB = Variable("job", "job", "grpc_server_started_total")
METHOD = Variable("method", "grpc_method", 'grpc_server_started_total{job=~"$job"}')
CACHE = Variable("cache", "cache", "shop_cache_requests_total")

FAULTS = "UNKNOWN|DEADLINE_EXCEEDED|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS"
"""The statuses that are the service's fault, and not the caller's."""


def rate(series: str) -> str:
    """Return how fast a counter grows, per second, over what Grafana finds fit to draw."""
    return f"rate({series}[$__rate_interval])"


def mean(histogram: str, selector: str, by: str) -> str:
    """Return the mean of what a histogram, or a pair of counters of that form, took in."""
    total = f"sum by ({by}) ({rate(f'{histogram}_sum{selector}')})"
    return f"{total} / sum by ({by}) ({rate(f'{histogram}_count{selector}')})"


def quantile(q: float, histogram: str, selector: str, by: str = "") -> str:
    """Return a quantile of what a histogram took in."""
    labels = f"le, {by}" if by else "le"
    buckets = rate(f"{histogram}_bucket{selector}")
    return f"histogram_quantile({q}, sum by ({labels}) ({buckets}))"


def share(part: str, whole: str, by: str) -> str:
    """Return the share that one counter's growth has in another's; 0 where there is no part."""
    all_of_it = f"sum by ({by}) ({rate(whole)})"
    return f"(sum by ({by}) ({rate(part)}) or {all_of_it} * 0) / {all_of_it}"
