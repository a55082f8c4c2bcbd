"""What a cache does beside the calls: find out whether Redis answers, and pay what is owed."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from services.common.cache.adoption import Adoption
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

    When other servers answer than before, Redis is not asked until they are adopted, and then
    ``on_replaced`` is called: who had not noticed yet may have told the old ones what is new.
    """

    def __init__(
        self,
        redis: RedisServers,
        shared: SharedValues,
        breaker: Breaker,
        invalidations: Invalidations,
        adoption: Adoption,
        timeout_s: float,
        on_replaced: Callable[[], object],
    ) -> None:
        self._redis = redis
        self._shared = shared
        self._breaker = breaker
        self._invalidations = invalidations
        self._adoption = adoption
        self._timeout_s = timeout_s
        self._on_replaced = on_replaced
        self._servers: frozenset[str] = frozenset()
        self._weight = 0
        self._trouble = ""
        self._reported = BreakerState.CLOSED

    async def begin(self) -> None:
        """Find out whether Redis may be asked, before anybody asks it, within four timeouts.

        If that does not end well, Redis is not asked until it does.
        """
        good = False
        with suppress(TimeoutError):
            async with asyncio.timeout(4 * self._timeout_s):
                while not good and self._breaker.state is BreakerState.CLOSED:
                    good = await self._round()
        if not good:
            self._breaker.open()

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

    async def _round(self) -> bool:
        """Return whether Redis does all that it should."""
        try:
            async with asyncio.timeout(self._timeout_s):
                servers = await self._redis.identity()
            await self._meet(servers)
            async with asyncio.timeout(self._timeout_s):
                await self._shared.fill([_PROBE])
            await self._invalidations.pay()
        except Exception as error:
            if not isinstance(error, FAILURES):  # if this ended, nothing would be paid any more
                log.exception("upkeep failed")
            self._failed(error)
            return False
        self._weight = 0
        self._breaker.recovered()
        return True

    async def _meet(self, servers: frozenset[str]) -> None:
        """Have the servers adopted; if they are others than before, let nobody ask them until then.

        Nor for a while after it, in which every process tells them what it owes.
        """
        replaced = bool(self._servers) and self._servers != servers
        if replaced:
            self._breaker.open()
        await self._adoption.adopt(servers)
        if replaced:
            log.warning("redis was replaced", was=sorted(self._servers), now=sorted(servers))
            self._on_replaced()
        self._servers = servers

    def _failed(self, error: Exception) -> None:
        self._trouble = f"{type(error).__name__}: {error}"
        timed_out = isinstance(error, TIMEOUTS)
        self._breaker.failed(timed_out=timed_out)
        self._weight += TIMEOUT_WEIGHT if timed_out else 1
        if self._weight >= MOST_FAILURES:
            self._breaker.open()

    def _report(self) -> None:
        state = self._breaker.state
        if state is not self._reported:
            self._reported = state
            why = {"error": self._trouble} if state is BreakerState.OPEN else {}
            log.warning("redis", breaker=state.value, **why)
