"""Telling Redis what has changed, now or as soon as it can be told."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, Final

import structlog
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.common.batching import Batcher
from services.common.cache.breaker import Breaker, BreakerState
from services.common.cache.figures import CacheFigures
from services.common.cache.shared import ALL, SharedValues

FAILURES: Final = (RedisError, OSError, TimeoutError)
TIMEOUTS: Final = (TimeoutError, RedisTimeoutError)
_BATCH: Final = 200
_TRIES: Final = 5  # fewer where the breaker opens first
_MOST_OWED: Final = 100_000
_ALL_TIMEOUT_S: Final = 30.0

log = structlog.get_logger()


class Invalidations:
    """Forgets values in Redis, and remembers what it could not forget: that is owed."""

    def __init__(
        self,
        shared: SharedValues,
        breaker: Breaker,
        figures: CacheFigures,
        timeout_s: float,
        batcher: type[Batcher[Any, Any]] = Batcher,
    ) -> None:
        self._shared = shared
        self._breaker = breaker
        self._figures = figures
        self._timeout_s = timeout_s
        self._sending: Batcher[str, None] = batcher(self._send, _BATCH)
        self._owed: set[str] = set()
        self._paying: set[str] = set()
        self.due = asyncio.Event()
        """Set while something is owed."""

    @property
    def owed(self) -> int:
        """How many values are owed; 100,000 stands for all there are."""
        if ALL in self._owed or ALL in self._paying:
            return _MOST_OWED
        return len(self._owed | self._paying)

    def owes(self, value_ids: Collection[str]) -> bool:
        """Say whether Redis may hold something older of any of these."""
        if not self._owed and not self._paying:
            return False
        return any(
            ALL in owed or not owed.isdisjoint(value_ids) for owed in (self._owed, self._paying)
        )

    async def send(self, value_ids: Collection[str]) -> None:
        """Forget the values now; if Redis does not take it, after some tries, they are owed.

        It is done to the end even if the caller goes away.
        """
        if self._breaker.state is BreakerState.OPEN:
            self._owe(value_ids)
        else:
            await self._sending.ask(value_ids)

    def start(self, value_ids: Collection[str]) -> None:
        """Do as ``send``, without waiting for it."""
        self._sending.join(value_ids)

    async def deliver(self, value_ids: Collection[str]) -> None:
        """Forget the values now. Raises what Redis raised."""
        async with asyncio.timeout(self._timeout_s):
            await self._shared.forget(value_ids)

    async def deliver_all(self) -> None:
        """Forget everything. Raises what Redis raised."""
        async with asyncio.timeout(_ALL_TIMEOUT_S):
            await self._shared.forget_all()

    async def pay(self) -> None:
        """Forget what is owed. Raises what Redis raised."""
        while self._owed:
            everything = ALL in self._owed
            self._paying = self._owed if everything else set(list(self._owed)[:_BATCH])
            self._owed = self._owed - self._paying
            try:
                await (self.deliver_all() if everything else self.deliver(self._paying))
            except BaseException:
                self._owed |= self._paying
                raise
            finally:
                self._paying = set()
        self.due.clear()

    async def drain(self) -> None:
        """Wait for what is being sent."""
        await self._sending.drain()

    def _owe(self, value_ids: Collection[str]) -> None:
        self._figures.invalidations_lost += len(value_ids)
        self._owed.update(value_ids)
        if len(self._owed) > _MOST_OWED:
            self._owed = {ALL}
        self.due.set()

    async def _send(self, value_ids: Collection[str]) -> Mapping[str, None]:
        for _ in range(_TRIES):
            if self._breaker.state is BreakerState.OPEN:
                break
            try:
                await self.deliver(value_ids)
            except FAILURES as error:
                log.warning("invalidation failed", count=len(value_ids), error=repr(error))
                self._breaker.failed(timed_out=isinstance(error, TIMEOUTS))
            else:
                self._breaker.succeeded()
                self._figures.invalidations_sent += len(value_ids)
                return {}
        self._owe(value_ids)
        return {}
