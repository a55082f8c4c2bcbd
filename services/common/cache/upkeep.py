"""What a cache does beside the calls: find out whether Redis answers, and pay what is owed."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from services.common.cache.breaker import FAILURES as MOST_FAILURES
from services.common.cache.breaker import TIMEOUT_WEIGHT, Breaker, BreakerState
from services.common.cache.invalidation import FAILURES, TIMEOUTS, Invalidations
from services.common.cache.shared import Fill, SharedValues
from services.common.redis.servers import RedisServers

INTERVAL_S: Final = 0.25
_SHORTEST_S: Final = 0.025
_PROBE: Final = Fill("", token="probe")  # noqa: S106 (no lease has this token: nothing happens)

log = structlog.get_logger()


class Upkeep:
    """Probes Redis four times a second, as a fill would use it.

    Probes open the breaker by themselves: in a cluster, reads may go on succeeding at some servers
    while writers, who probe them all, tell none any more.

    ``on_replaced`` is called when other servers answer than before: they may hold values that were
    forgotten, from a snapshot or because they were replicas that lagged behind.
    """

    def __init__(
        self,
        redis: RedisServers,
        shared: SharedValues,
        breaker: Breaker,
        invalidations: Invalidations,
        timeout_s: float,
        on_replaced: Callable[[], object],
    ) -> None:
        self._redis = redis
        self._shared = shared
        self._breaker = breaker
        self._invalidations = invalidations
        self._timeout_s = timeout_s
        self._on_replaced = on_replaced
        self._servers: frozenset[str] = frozenset()
        self._weight = 0
        self._reported = BreakerState.CLOSED

    async def run(self) -> None:
        """Go on for ever."""
        while True:
            await self._round()
            self._report()
            if self._weight:
                await asyncio.sleep(INTERVAL_S)
                continue
            await asyncio.sleep(_SHORTEST_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_S):
                    await self._invalidations.due.wait()

    async def _round(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._shared.fill([_PROBE])
                servers = await self._redis.identity()
            await self._invalidations.pay()
        except Exception as error:
            if not isinstance(error, FAILURES):  # if this ended, nothing would be paid any more
                log.exception("upkeep failed")
            self._failed(timed_out=isinstance(error, TIMEOUTS))
            return
        self._weight = 0
        if self._servers and self._servers != servers:
            log.warning("redis was replaced", was=sorted(self._servers), now=sorted(servers))
            self._on_replaced()
        self._servers = servers
        self._breaker.recovered()

    def _failed(self, *, timed_out: bool) -> None:
        self._breaker.failed(timed_out=timed_out)
        self._weight += TIMEOUT_WEIGHT if timed_out else 1
        if self._weight >= MOST_FAILURES:
            self._breaker.open()

    def _report(self) -> None:
        state = self._breaker.state
        if state is not self._reported:
            self._reported = state
            log.warning("redis", breaker=state.value)
