"""What a cache does beside the calls: find out whether Redis answers, and pay what is owed."""

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from services.common.cache.breaker import Breaker, BreakerState
from services.common.cache.invalidation import FAILURES, Invalidations
from services.common.cache.shared import Fill, SharedValues

INTERVAL_S: Final = 0.25
_PROBE: Final = Fill("", token="probe")  # noqa: S106 (no lease has this token: nothing happens)

log = structlog.get_logger()


class Upkeep:
    """Probes Redis at least every quarter of a second, as a fill would use it."""

    def __init__(
        self,
        shared: SharedValues,
        breaker: Breaker,
        invalidations: Invalidations,
        timeout_s: float,
    ) -> None:
        self._shared = shared
        self._breaker = breaker
        self._invalidations = invalidations
        self._timeout_s = timeout_s
        self._reported = BreakerState.CLOSED

    async def run(self) -> None:
        """Go on for ever."""
        while True:
            await self._round()
            self._report()
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_S):
                    await self._invalidations.due.wait()
            await asyncio.sleep(0.1 * INTERVAL_S)

    async def _round(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._shared.fill([_PROBE])
            await self._invalidations.pay()
        except FAILURES as error:
            self._breaker.failed(timed_out=isinstance(error, TimeoutError))
        else:
            self._breaker.recovered()

    def _report(self) -> None:
        state = self._breaker.state
        if state is not self._reported:
            self._reported = state
            log.warning("redis", breaker=state.value)
