"""Where reads are answered from, and whether what they show is true."""

from typing import Final

from deploy.grafana.source.model import (
    CACHE,
    Dashboard,
    Kind,
    Panel,
    Query,
    Section,
    Unit,
    mean,
    quantile,
    rate,
)

_OF = '{cache=~"$cache"}'
_LOADS = "shop_cache_load_seconds_bucket"
_ASKED = "shop_cache_requests_total"
_ANSWERED = _ASKED + '{cache=~"$cache", layer!="bypass", result=~"hit|absent"}'


def _hits(layer: str) -> str:
    """Return the share of what a layer was asked for that it could answer."""
    asked = f'{_ASKED}{{cache=~"$cache", layer="{layer}", result!="waited"}}'
    answered = f'{_ASKED}{{cache=~"$cache", layer="{layer}", result=~"hit|absent"}}'
    return f"sum by (cache) ({rate(answered)}) / sum by (cache) ({rate(asked)})"


def _per_cache(metric: str) -> str:
    return f"sum by (cache) ({metric}{_OF})"


_ANSWERS = Section(
    "Answers",
    (
        Panel(
            "Where answers come from",
            "The share of values that each layer answered; mongo includes what went past the"
            " caches. Good: mostly near and redis, and steady.",
            Unit.SHARE,
            [
                Query(
                    f"sum by (layer) ({rate(_ANSWERED)})"
                    f" / ignoring (layer) group_left sum({rate(_ANSWERED)})",
                    "{{layer}}",
                )
            ],
            stacked=True,
            most=1,
        ),
        Panel(
            "Near: share of hits",
            "Of what the process's own memory was asked for. Falls with many processes and"
            " many keys; see the entries and their limit below.",
            Unit.SHARE,
            [Query(_hits("near"), "{{cache}}")],
            most=1,
        ),
        Panel(
            "Redis: share of hits",
            "Of what was not near. Falls when Redis is small, new or was emptied.",
            Unit.SHARE,
            [Query(_hits("redis"), "{{cache}}")],
            most=1,
        ),
        Panel(
            "Values asked for",
            "By the layer asked and what it had. Good: no error, nothing unreadable; waited is"
            " a reader who let another one load.",
            Unit.PER_S,
            [Query(f"sum by (layer, result) ({rate(_ASKED + _OF)})", "{{layer}} {{result}}")],
            width=12,
        ),
        Panel(
            "Values per round trip",
            "How many values share one round trip. More under load is good: it is what makes"
            " a read cheap.",
            Unit.COUNT,
            [Query(mean("shop_cache_batch_keys", _OF, "cache, store"), "{{cache}} {{store}}")],
            width=12,
        ),
    ),
)

_TRUTH = Section(
    "How old answers may be",
    (
        Panel(
            "Near cache behind",
            "How long invalidations were under way, which is how old a near answer may be."
            " Good: milliseconds; never more than the lease, 1 s.",
            Unit.SECONDS,
            [
                Query(quantile(q, "shop_cache_near_lag_seconds", _OF, "cache"), name)
                for q, name in ((0.5, "{{cache}} p50"), (0.99, "{{cache}} p99"))
            ],
            warn=1,
        ),
        Panel(
            "Invalidations",
            "sent at once, lost and sent later, replayed from MongoDB's changes. Good: as much"
            " replayed as sent, nothing lost.",
            Unit.PER_S,
            [
                Query(
                    f"sum by (cache, result) ({rate('shop_cache_invalidations_total' + _OF)})",
                    "{{cache}} {{result}}",
                )
            ],
        ),
        Panel(
            "Owed to Redis",
            "Values that Redis still has to forget. Good: 0. 100,000 stands for all.",
            Unit.COUNT,
            [Query(_per_cache("shop_cache_owed_keys"), "{{cache}}")],
            warn=1,
        ),
        Panel(
            "Breakers",
            "Processes by the state of their way to Redis. Good: all closed. Some open and some"
            " closed is worse than all open: who is cut off cannot tell the others of writes.",
            Unit.COUNT,
            [
                Query(
                    f"sum by (cache, state) (shop_cache_breaker_state{_OF})", "{{cache}} {{state}}"
                )
            ],
        ),
        Panel(
            "Near caches proven",
            "The share of processes whose near cache may answer. Good: 1. Below, their reads"
            " come from Redis.",
            Unit.SHARE,
            [Query(f"avg by (cache) (shop_cache_near_proven{_OF})", "{{cache}}")],
            most=1,
        ),
        Panel(
            "Watchers of MongoDB's changes",
            "Processes that repeat the invalidation of each change. Good: exactly 1 per cache.",
            Unit.COUNT,
            [Query(_per_cache("shop_cache_backstop_holding"), "{{cache}}")],
        ),
        Panel(
            "Watchers behind MongoDB",
            "How old the last change was when its watcher heard of it: what a killed writer left"
            " undone is out of date for as long. Good: below 2 s, for changes bear whole seconds.",
            Unit.SECONDS,
            [
                Query(
                    f"max by (cache) (shop_cache_backstop_lag_seconds{_OF}"
                    f" * shop_cache_backstop_holding{_OF})",
                    "{{cache}}",
                )
            ],
            warn=6,
        ),
        Panel(
            "All forgotten, dropped or repeated",
            "Near caches emptied, changes of the last minutes repeated, everything forgotten."
            " Good: 0, but for starts and failovers.",
            Unit.COUNT,
            [
                Query(f"sum by (cache) (increase({metric}{_OF}[$__rate_interval]))", legend)
                for metric, legend in (
                    ("shop_cache_near_dropped_total", "{{cache}} near dropped"),
                    ("shop_cache_backstop_rewinds_total", "{{cache}} repeated"),
                    ("shop_cache_backstop_forgotten_total", "{{cache}} all forgotten"),
                )
            ],
        ),
    ),
)

_SIZE = Section(
    "Size and loads",
    (
        Panel(
            "Near: values",
            "In the memory of all processes. At SHOP_NEAR_ENTRIES each, others have to go.",
            Unit.COUNT,
            [Query(_per_cache("shop_cache_near_entries"), "{{cache}}")],
        ),
        Panel(
            "Near: memory",
            "The most that they take, in all processes. Each has SHOP_NEAR_BYTES at most.",
            Unit.BYTES,
            [Query(_per_cache("shop_cache_near_bytes"), "{{cache}}")],
        ),
        Panel(
            "Near: evicted",
            "Values that made room for others. Much of it with few hits: the near cache is small.",
            Unit.PER_S,
            [Query(f"sum by (cache) ({rate('shop_cache_near_evicted_total' + _OF)})", "{{cache}}")],
        ),
        Panel(
            "Time of loads from MongoDB",
            "One load may bring many values. Good: the p99 near what MongoDB takes alone.",
            Unit.SECONDS,
            [
                Query(quantile(q, "shop_cache_load_seconds", _OF, "cache"), name)
                for q, name in ((0.5, "{{cache}} p50"), (0.99, "{{cache}} p99"))
            ],
            width=12,
        ),
        Panel(
            "How loads spread",
            "How many loads took how long.",
            Unit.SECONDS,
            [
                Query(
                    f"sum by (le) (increase({_LOADS}{_OF}[$__rate_interval]))",
                    "{{le}}",
                )
            ],
            Kind.HEATMAP,
            width=12,
        ),
    ),
)

CACHE_PAGE: Final = Dashboard(
    "shop-cache",
    "Shop: cache",
    "Where reads are answered from, how old they may be, and what the caches hold.",
    (CACHE,),
    (_ANSWERS, _TRUTH, _SIZE),
)
