"""What callers see: rate, errors and latency per method."""

from typing import Final

from deploy.grafana.source.model import (
    FAULTS,
    JOB,
    METHOD,
    Dashboard,
    Kind,
    Panel,
    Query,
    Section,
    Unit,
    quantile,
    rate,
    share,
)

_OF = '{job=~"$job", grpc_method=~"$method"}'
_HANDLED = f"grpc_server_handled_total{_OF}"
_FAULTY = f'grpc_server_handled_total{{job=~"$job", grpc_method=~"$method", grpc_code=~"{FAULTS}"}}'
_REFUSED = 'grpc_server_handled_total{job=~"$job", grpc_method=~"$method", grpc_code!="OK"}'
_SECONDS = "grpc_server_handling_seconds"
_SHED = 'shop_calls_shed_total{job=~"$job"}'
_PEERS = "grpc_client_handled_total"

_AT_A_GLANCE = Section(
    "At a glance",
    (
        Panel(
            "Calls",
            "Calls that ended, of what is chosen above. A sudden fall is as bad as a rise.",
            Unit.CALLS_PER_S,
            [Query(f"sum({rate(_HANDLED)})", "calls")],
            Kind.NUMBER,
            width=6,
            height=4,
        ),
        Panel(
            "Share of faults",
            "Calls that ended with a status that is our fault. Good: 0; the alert is at 5 %.",
            Unit.SHARE,
            [Query(f"(sum({rate(_FAULTY)}) or vector(0)) / sum({rate(_HANDLED)})", "faults")],
            Kind.NUMBER,
            width=6,
            height=4,
            warn=0.01,
        ),
        Panel(
            "p99",
            "99 of 100 calls took at most this. Good: below 0.25 s, the objective of the alert.",
            Unit.SECONDS,
            [Query(quantile(0.99, _SECONDS, _OF), "p99")],
            Kind.NUMBER,
            width=6,
            height=4,
            warn=0.25,
        ),
        Panel(
            "Calls shed",
            "Calls refused for overload. Good: 0. More is better than slow answers to all.",
            Unit.CALLS_PER_S,
            [Query(f"sum({rate(_SHED)})", "shed")],
            Kind.NUMBER,
            width=6,
            height=4,
            warn=0.1,
        ),
    ),
)

_CALLS = Section(
    "Per method",
    (
        Panel(
            "Rate per method",
            "Calls that ended, whatever their status.",
            Unit.CALLS_PER_S,
            [Query(f"sum by (job, grpc_method) ({rate(_HANDLED)})", "{{job}} {{grpc_method}}")],
            stacked=True,
        ),
        Panel(
            "Share of faults per method",
            "UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL and the like, of all calls. Good: 0.",
            Unit.SHARE,
            [Query(share(_FAULTY, _HANDLED, "job, grpc_method"), "{{job}} {{grpc_method}}")],
            warn=0.05,
            most=1,
        ),
        Panel(
            "Refusals per status",
            "Calls that did not end with OK, callers' faults included. A new status is a lead.",
            Unit.CALLS_PER_S,
            [
                Query(
                    f"sum by (job, grpc_code) ({rate(_REFUSED)})"
                    f" or sum by (job) ({rate(_HANDLED)}) * 0",
                    "{{job}} {{grpc_code}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "In flight",
            "Calls begun and not ended. Good: steady, and far below the concurrency limit.",
            Unit.COUNT,
            [
                Query(
                    f"sum by (job, grpc_method) (grpc_server_in_flight{_OF})",
                    "{{job}} {{grpc_method}}",
                )
            ],
            stacked=True,
        ),
    ),
)

_LATENCY = Section(
    "Latency",
    (
        Panel(
            "Quantiles",
            "Of all chosen calls, on the server. A p50 that rises is work; a p99 alone, waiting.",
            Unit.SECONDS,
            [Query(quantile(q, _SECONDS, _OF), f"p{q * 100:g}") for q in (0.5, 0.9, 0.99)],
        ),
        Panel(
            "p99 per method",
            "The objective is 0.25 s for each, except where passwords are hashed.",
            Unit.SECONDS,
            [Query(quantile(0.99, _SECONDS, _OF, "job, grpc_method"), "{{job}} {{grpc_method}}")],
            warn=0.25,
        ),
        Panel(
            "How calls spread",
            "How many calls took how long. Two bands are two ways, as of a hit and of a miss.",
            Unit.SECONDS,
            [Query(f"sum by (le) (increase({_SECONDS}_bucket{_OF}[$__rate_interval]))", "{{le}}")],
            Kind.HEATMAP,
        ),
    ),
)

_BETWEEN = Section(
    "Between the services",
    (
        Panel(
            "Calls to other services",
            "By what they ended with. FAILED_PRECONDITION of ReserveStock is a refused order.",
            Unit.CALLS_PER_S,
            [
                Query(
                    f"sum by (grpc_method, grpc_code) ({rate(_PEERS)})",
                    "{{grpc_method}} {{grpc_code}}",
                )
            ],
            width=12,
            stacked=True,
        ),
        Panel(
            "Mean time of calls to other services",
            "With tries again. Good: a little more than the other service says of itself.",
            Unit.SECONDS,
            [
                Query(
                    f"sum by (grpc_method) ({rate('grpc_client_handling_seconds_total')})"
                    f" / sum by (grpc_method) ({rate(_PEERS)})",
                    "{{grpc_method}}",
                )
            ],
            width=12,
        ),
    ),
)

REQUESTS_PAGE: Final = Dashboard(
    "shop-requests",
    "Shop: requests",
    "Look here first: what callers see, per method.",
    (JOB, METHOD),
    (_AT_A_GLANCE, _CALLS, _LATENCY, _BETWEEN),
)
