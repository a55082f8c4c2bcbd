"""The arms of the A/B: the same call, answered from farther and farther away."""

from dataclasses import dataclass
from typing import Final

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """What is asked of the caches. A call that asks for nothing special is ``near``.

    ``sources`` are what ``x-cache`` may then say: what a cache does not have yet comes from
    farther away, and what goes round all caches is called ``bypass``.
    """

    name: str
    metadata: Metadata
    sources: frozenset[str]


NEAR: Final = Arm("near", (), frozenset({"near", "redis", "mongo"}))
REDIS: Final = Arm("redis", (("cache-control", "no-near"),), frozenset({"redis", "mongo"}))
MONGO: Final = Arm("mongo", (("cache-control", "no-cache"),), frozenset({"bypass"}))
ARMS: Final = (NEAR, REDIS, MONGO)

LOOKUPS: Final = {
    "GetProduct": "product:",
    "BatchGetProducts": "product:",
    "GetUserProfile": "user_profile:",
    "ListUserOrders": "user_orders:",
}
"""The prefix of what each cached method reads."""


def source_of(x_cache: str) -> str:
    """Return where an answer came from, ``near`` for ``near; age_ms=12``."""
    return x_cache.partition(";")[0].strip()
