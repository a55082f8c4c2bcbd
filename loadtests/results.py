"""What a run has found: the contents of ``report.json``, format ``shop-load-report/1``.

Times of calls are milliseconds, all others seconds; CPU is in microseconds per request. A call's
latency counts from when it was meant to start, so it includes whatever it had to wait for.
"""

from dataclasses import dataclass, field
from typing import Final

FORMAT: Final = "shop-load-report/1"


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Latencies in milliseconds, from a histogram with a resolution of 0.01 ms or finer."""

    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float
    mean: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What the calls of one method in one arm have shown.

    ``arm`` says what was asked for: ``near`` (no ``cache-control``), ``redis`` (``no-near``),
    ``mongo`` (``no-cache``), or ``""`` for a method without arms. ``lookup`` is the prefix of the
    cached value, such as ``product:``, or ``""``. ``sources`` counts what ``x-cache`` said.
    ``curve`` are points (percentile from 0 to 100, milliseconds), ascending, for plots.
    ``histogram`` is the whole distribution in microseconds, as HdrHistogram encodes it in base64.
    ``server_ms`` is the mean that the server itself measured for the method, all arms together.
    ``count`` includes the failed calls, which ``errors`` counts by status; latencies are of all.
    """

    method: str
    lookup: str
    arm: str
    count: int
    errors: dict[str, int]
    rate_per_s: float
    latency_ms: Percentiles
    curve: list[tuple[float, float]]
    histogram: str
    sources: dict[str, int]
    server_ms: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many times faster an arm's median is than that of ``base``: base / arm.

    ``low`` and ``high`` are the bootstrap interval of that ratio with the given confidence.
    """

    method: str
    lookup: str
    base: str
    arm: str
    speedup: float
    low: float
    high: float
    confidence: float
    resamples: int


@dataclass(frozen=True, slots=True)
class Moment:
    """One second of a run, by method and arm; ``p50_ms`` and ``p99_ms`` are None without calls."""

    at_s: float
    method: str
    arm: str
    users: int
    count: int
    errors: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Process:
    """CPU time that one process used while measured, and per request of the whole run.

    ``name`` is ``user``, ``inventory``, ``order``, ``mongodb``, ``redis`` or ``load generator``.
    ``requests`` are those that the process answered (for a store: all of the run's).
    """

    name: str
    cpu_s: float
    requests: int
    cpu_us_per_request: float


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit that was asked for, what was measured against it, and whether it held."""

    name: str
    limit: float
    measured: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the open model's schedule was kept.

    ``late`` of the ``started`` calls began more than 10 ms after their moment: ``unattended``
    because all users were busy, the others because the load generator was. ``never_started``
    were due when the run ended. Latencies count from the moment all the same.
    """

    started: int
    late: int
    unattended: int
    never_started: int
    worst_ms: float


@dataclass(frozen=True, slots=True)
class Stock:
    """Whether the stock afterwards is the stock before without what was sold, per product.

    ``wrong`` are the products of which it is not. ``open_orders`` are checkouts whose outcome
    nobody knows; with any, ``wrong`` proves nothing.
    """

    products: int
    pieces_sold: int
    open_orders: int
    wrong: list[str]


@dataclass(frozen=True, slots=True)
class Run:
    """All that is needed to repeat a run; ``command`` is the line that does."""

    command: str
    started: str
    scenario: str
    model: str
    shape: str
    users: int
    rate_per_s: float | None
    duration_s: float
    warmup_s: float
    zipf_exponent: float
    seed: int
    settings: dict[str, str]
    machine: dict[str, str]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a run has found.

    ``notes`` are sentences that a reader has to know before believing a figure: that the run was
    cut short, that the load generator was the limit. ``schedule`` is None in the closed model,
    ``stock`` without checkouts.
    """

    run: Run
    samples: list[Sample]
    comparisons: list[Comparison]
    timeline: list[Moment]
    processes: list[Process]
    thresholds: list[Threshold] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    schedule: Schedule | None = None
    stock: Stock | None = None
    format: str = FORMAT
