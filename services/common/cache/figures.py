"""What a cache did, as plain numbers that cost little to bump."""

from typing import Final

from services.common.telemetry.histogram import Histogram

LOAD_BOUNDS_S: Final = (
    250e-6,
    500e-6,
    1e-3,
    2.5e-3,
    5e-3,
    10e-3,
    25e-3,
    50e-3,
    0.1,
    0.25,
    1.0,
    2.5,
)
BATCH_BOUNDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LAG_BOUNDS_S: Final = (250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0)


class CacheFigures:
    """The figures of one lookup in one process.

    Of each layer: how often it had the value (``hit``), remembered that there is none
    (``absent``), did not have it (``miss``), had something unreadable or failed (``error``).
    """

    __slots__ = (
        "bypassed",
        "dropped",
        "invalidations_lost",
        "invalidations_sent",
        "lag_s",
        "load_s",
        "mongo_absent",
        "mongo_error",
        "mongo_hit",
        "mongo_keys",
        "near_absent",
        "near_hit",
        "near_miss",
        "redis_absent",
        "redis_error",
        "redis_hit",
        "redis_keys",
        "redis_miss",
        "redis_unreadable",
        "redis_waited",
        "restarts",
    )

    def __init__(self) -> None:
        self.near_hit = 0
        self.near_absent = 0
        self.near_miss = 0
        self.redis_hit = 0
        self.redis_absent = 0
        self.redis_miss = 0
        self.redis_waited = 0
        self.redis_unreadable = 0
        self.redis_error = 0
        self.mongo_hit = 0
        self.mongo_absent = 0
        self.mongo_error = 0
        self.bypassed = 0
        self.dropped = 0
        self.restarts = 0
        self.invalidations_sent = 0
        self.invalidations_lost = 0
        self.load_s = Histogram(LOAD_BOUNDS_S)
        self.redis_keys = Histogram(BATCH_BOUNDS)
        self.mongo_keys = Histogram(BATCH_BOUNDS)
        self.lag_s = Histogram(LAG_BOUNDS_S)

    def heard_after(self, lag_s: float) -> None:
        """Note how long an invalidation was under way, by the clocks of two processes."""
        self.lag_s.add(max(lag_s, 0.0))
