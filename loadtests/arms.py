"""The arms of the A/B: the same call, answered from farther and farther away."""

from dataclasses import dataclass
from typing import Final

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """What is asked of the caches. A call that asks for nothing special is ``near``."""

    name: str
    metadata: Metadata = ()


NEAR: Final = Arm("near")
REDIS: Final = Arm("redis", (("cache-control", "no-near"),))
MONGO: Final = Arm("mongo", (("cache-control", "no-cache"),))
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
