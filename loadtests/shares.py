"""Where answers came from, as shares that a chart shows."""

from collections import Counter
from typing import Any, Final

from loadtests.ledger import Ledger

LAYERS: Final = ("near", "redis", "mongo")
_LAYER_OF: Final = {"near": "near", "redis": "redis", "mongo": "mongo", "bypass": "mongo"}
_SHOWN_S: Final = 120


def shares(ledger: Ledger) -> dict[str, Any]:
    """Return the shares of near, Redis and MongoDB: by method, and of each of the last 120 s.

    What went round all caches came from MongoDB and counts there. Calls that say nothing of
    caches count nowhere.
    """
    methods: dict[str, Counter[str]] = {}
    for (method, _), total in ledger.totals.items():
        methods.setdefault(method, Counter()).update(_by_layer(total.sources))
    return {
        "layers": LAYERS,
        "total": _share(sum(methods.values(), Counter())),
        "methods": {method: _share(counts) for method, counts in sorted(methods.items()) if counts},
        "recent": [
            {"at_s": second - ledger.window.begin, **_share(_by_layer(sources))}
            for second, sources in ledger.recent_sources(_SHOWN_S)
            if sources
        ],
    }


def _by_layer(sources: Counter[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for source, count in sources.items():
        if source in _LAYER_OF:
            counts[_LAYER_OF[source]] += count
    return counts


def _share(counts: Counter[str]) -> dict[str, float]:
    calls = counts.total()
    return {"calls": calls, **{name: counts[name] / max(calls, 1) for name in LAYERS}}
