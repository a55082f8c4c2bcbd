"""What a call costs the machines."""

from typing import Final

from deploy.grafana.source.model import JOB, Dashboard, Kind, Panel, Query, Section, Unit, rate

_OF = '{job=~"$job"}'
_CPU = f"sum by (job) ({rate('process_cpu_seconds_total' + _OF)})"
_CALLS = f"sum by (job) ({rate('grpc_server_handled_total' + _OF)})"

_PER_CALL = Section(
    "Per call",
    (
        Panel(
            "CPU time per call",
            "Of the service's processes, over all its methods. Reads from the near cache cost"
            " tens of microseconds, logins 30 ms: it moves with what is asked. At rest it says"
            " nothing, for there are few calls to share what runs beside them.",
            Unit.SECONDS,
            [Query(f"{_CPU} / {_CALLS}", "{{job}}")],
            width=12,
        ),
        Panel(
            "Calls per CPU second",
            "The same the other way round: what one core carries. For sizing.",
            Unit.COUNT,
            [Query(f"{_CALLS} / {_CPU}", "{{job}}")],
            width=12,
        ),
    ),
)

_IN_ALL = Section(
    "In all",
    (
        Panel(
            "Cores in use",
            "A process uses one at most, but for hashing and the native transport. At 1 per"
            " process it is full: more workers.",
            Unit.COUNT,
            [Query(_CPU, "{{job}}")],
        ),
        Panel(
            "Busiest process",
            "Cores that it uses. At about 1 its event loop has no time left.",
            Unit.COUNT,
            [Query(f"max by (job) ({rate('process_cpu_seconds_total' + _OF)})", "{{job}}")],
            warn=0.9,
        ),
        Panel(
            "Memory",
            "Of all processes of a service. Good: flat once the near caches are full.",
            Unit.BYTES,
            [Query(f"sum by (job) (process_resident_memory_bytes{_OF})", "{{job}}")],
        ),
        Panel(
            "Largest process",
            "Its memory, for the limit of a container.",
            Unit.BYTES,
            [Query(f"max by (job) (process_resident_memory_bytes{_OF})", "{{job}}")],
            Kind.NUMBER,
        ),
        Panel(
            "Garbage collections",
            "By generation. Good: hardly any of generation 2; calls leave little behind.",
            Unit.PER_S,
            [
                Query(
                    f"sum by (job, generation) ({rate('python_gc_collections_total' + _OF)})",
                    "{{job}} {{generation}}",
                )
            ],
        ),
        Panel(
            "Garbage found",
            "Objects that only the collector could free. Good: few, and not with every call.",
            Unit.PER_S,
            [Query(f"sum by (job) ({rate('python_gc_objects_collected_total' + _OF)})", "{{job}}")],
        ),
    ),
)

COST_PAGE: Final = Dashboard(
    "shop-cost",
    "Shop: cost",
    "What a call costs in CPU time and memory.",
    (JOB,),
    (_PER_CALL, _IN_ALL),
)
