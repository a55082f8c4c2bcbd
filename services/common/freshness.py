"""How fresh a read must be, and where its answer came from."""

from enum import Enum, IntEnum


class Freshness(Enum):
    """What may answer the reads of a call."""

    NEAR = "near"
    """Whatever is the fastest: the process's own memory, Redis, MongoDB."""

    SHARED = "no-near"
    """Redis at best: never older than the last acknowledged write."""

    STORE = "no-cache"
    """MongoDB, past every cache."""


class Source(IntEnum):
    """What answered a read, the nearest first."""

    NEAR = 0
    REDIS = 1
    MONGO = 2
    BYPASS = 3
    """MongoDB, because the read was not to be answered from a cache."""
