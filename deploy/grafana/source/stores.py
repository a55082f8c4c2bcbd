"""What the services stand on, and how much room is left."""

from typing import Final

from deploy.grafana.source.model import (
    JOB,
    Dashboard,
    Kind,
    Panel,
    Query,
    Section,
    Unit,
    quantile,
    rate,
)

_OF = '{job=~"$job"}'
_LOOKUPS = 'shop_cache_batch_keys_count{job=~"$job", store="redis"}'
_UNANSWERED = 'shop_cache_requests_total{job=~"$job", layer="redis", result="error"}'


def _worst(gauge: str) -> str:
    return f"max by (job) ({gauge}{_OF})"


_STORES = Section(
    "Stores",
    (
        Panel(
            "Stores that answer",
            "The share of processes whose last probe was answered. Good: 1.",
            Unit.SHARE,
            [
                Query(
                    f"avg by (job, dependency) (shop_dependency_up{_OF})", "{{job}} {{dependency}}"
                )
            ],
            most=1,
        ),
        Panel(
            "Time of a probe",
            "The slowest process's last one: a ping. Good: a millisecond or two.",
            Unit.SECONDS,
            [
                Query(
                    f"max by (job, dependency) (shop_dependency_probe_seconds{_OF})",
                    "{{job}} {{dependency}}",
                )
            ],
        ),
        Panel(
            "MongoDB: operations",
            "On collections, those of checkouts and of what keeps the caches true included.",
            Unit.OPERATIONS_PER_S,
            [
                Query(
                    f"sum by (job) ({rate('shop_mongo_operation_seconds_count' + _OF)})", "{{job}}"
                )
            ],
            stacked=True,
        ),
        Panel(
            "MongoDB: time of an operation",
            "With the wait for a connection. A p50 that rises with the rate says that it is full.",
            Unit.SECONDS,
            [
                Query(quantile(q, "shop_mongo_operation_seconds", _OF, "job"), name)
                for q, name in ((0.5, "{{job}} p50"), (0.99, "{{job}} p99"))
            ],
        ),
        Panel(
            "MongoDB: connections wanted",
            "Operations under way in the busiest process, beside its pool. Above the pool they"
            " wait. Good: far below.",
            Unit.COUNT,
            [
                Query(_worst("shop_mongo_in_flight"), "{{job}} under way"),
                Query(_worst("shop_mongo_pool_size"), "{{job}} pool"),
            ],
        ),
        Panel(
            "MongoDB: unanswered",
            "Operations that found no server, or took longer than they may. Good: 0.",
            Unit.OPERATIONS_PER_S,
            [Query(f"sum by (job) ({rate('shop_mongo_unanswered_total' + _OF)})", "{{job}}")],
            warn=0.1,
        ),
        Panel(
            "Redis: lookups",
            "Round trips that ask for values, each for all calls of a process that wait for some."
            " Far fewer than calls is good. What is filled and forgotten comes on top.",
            Unit.OPERATIONS_PER_S,
            [Query(f"sum by (job) ({rate(_LOOKUPS)})", "{{job}}")],
            stacked=True,
        ),
        Panel(
            "Redis: unanswered",
            "Values that Redis was asked for in vain: it was away, or took longer than it may. They"
            " came from MongoDB. Good: 0.",
            Unit.PER_S,
            [Query(f"sum by (job) ({rate(_UNANSWERED)})", "{{job}}")],
            warn=0.1,
        ),
    ),
)

_SATURATION = Section(
    "Saturation",
    (
        Panel(
            "Concurrency",
            "Calls let in, beside the limit of all processes, which follows the latencies. Good:"
            " far below; a limit that falls says that something behind is full.",
            Unit.COUNT,
            [
                Query(f"sum by (job) (shop_calls_let_in{_OF})", "{{job}} let in"),
                Query(f"sum by (job) (shop_concurrency_limit{_OF})", "{{job}} limit"),
            ],
        ),
        Panel(
            "Queued",
            "Calls that wait to be let in. Good: 0.",
            Unit.COUNT,
            [Query(f"sum by (job) (shop_calls_queued{_OF})", "{{job}}")],
            warn=1,
        ),
        Panel(
            "Shed",
            "Calls refused for overload. Good: 0.",
            Unit.CALLS_PER_S,
            [Query(f"sum by (job) ({rate('shop_calls_shed_total' + _OF)})", "{{job}}")],
            warn=0.1,
        ),
        Panel(
            "Event loop behind",
            "The latest process's. Good: below 10 ms; from 100 ms calls are shed.",
            Unit.SECONDS,
            [Query(_worst("shop_event_loop_lag_seconds"), "{{job}}")],
            warn=0.1,
        ),
        Panel(
            "Passwords: places taken",
            "Places that calls hold while they hash, in the busiest process. At 1 all logins are"
            " refused; a source that holds half of them gets no more.",
            Unit.SHARE,
            [Query("max(shop_hash_taken / shop_hash_places)", "taken")],
            warn=0.8,
            most=1,
        ),
        Panel(
            "Passwords: hashes",
            "Made and refused. Each takes about 30 ms of a core.",
            Unit.PER_S,
            [
                Query(f"sum({rate('shop_hash_done_total')})", "made"),
                Query(f"sum({rate('shop_hash_refused_total')})", "refused"),
            ],
        ),
        Panel(
            "Passwords: time of a hash",
            "The mean, with its wait for a thread.",
            Unit.SECONDS,
            [
                Query(
                    f"sum({rate('shop_hash_seconds_total')}) / sum({rate('shop_hash_done_total')})",
                    "mean",
                )
            ],
        ),
        Panel(
            "Open files",
            "Of those that a process may have, in the fullest one; each connection is one.",
            Unit.SHARE,
            [Query(f"max by (job) (process_open_fds{_OF} / process_max_fds{_OF})", "{{job}}")],
            warn=0.8,
            most=1,
        ),
    ),
)

_PROCESSES = Section(
    "Processes",
    (
        Panel(
            "Pages that answer",
            "Instances whose figures can be read. Good: as many as there should be.",
            Unit.COUNT,
            [Query(f"sum by (job) (up{_OF})", "{{job}}")],
        ),
        Panel(
            "Workers that died",
            "And were replaced. Good: 0.",
            Unit.COUNT,
            [
                Query(
                    f"sum by (job) (increase(shop_worker_deaths_total{_OF}[$__rate_interval]))"
                    f" or sum by (job) (up{_OF}) * 0",
                    "{{job}}",
                )
            ],
            warn=1,
        ),
        Panel(
            "Youngest process",
            "How long it has run. Falls to 0 whenever one starts.",
            Unit.SECONDS,
            [Query(f"time() - max by (job) (process_start_time_seconds{_OF})", "{{job}}")],
            Kind.NUMBER,
        ),
    ),
)

STORES_PAGE: Final = Dashboard(
    "shop-stores",
    "Shop: stores and saturation",
    "Whether MongoDB and Redis answer, and how much room is left before calls are shed.",
    (JOB,),
    (_STORES, _SATURATION, _PROCESSES),
)
