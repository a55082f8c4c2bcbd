"""Refusing early what could not be served well."""

import asyncio
import time
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final

from services.common.call import own_call
from services.common.errors import DeadlineExceeded, ResourceExhausted
from services.common.rpc.adaptive_limit import AdaptiveLimit
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.load_gauge import LoadGauge
from services.common.rpc.methods import Context, Method

RETRY_DELAY_S: Final = 0.2
_SAMPLE_EVERY: Final = 4


class Overloaded(ResourceExhausted):
    """The service has as much to do as it can do well."""

    reason = "OVERLOADED"
    always_alike = True

    def __init__(self) -> None:
        super().__init__("the service is overloaded; come back a little later", RETRY_DELAY_S)


class ConcurrencyLimitInterceptor(MethodInterceptor):
    """Lets as many calls in as the limit says and some more wait; the rest is refused at once.

    A refused client gets RESOURCE_EXHAUSTED and a delay to retry after. Calls wait in order,
    at most ``queue_size`` of them and for at most ``queue_timeout_s``. Calls to the methods named
    ``unlimited`` are always let in.
    """

    def __init__(
        self,
        limit: AdaptiveLimit,
        load: LoadGauge,
        queue_size: int,
        queue_timeout_s: float,
        unlimited: Collection[str] = (),
    ) -> None:
        self._unlimited = unlimited
        self._limit = limit
        self._load = load
        self._queue_size = queue_size
        self._queue_timeout_s = queue_timeout_s
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.in_flight = 0
        self.refused = 0

    @property
    def limit(self) -> int:
        """How many calls may be in flight at present."""
        return self._limit.value

    @property
    def queued(self) -> int:
        """How many calls are waiting to be let in."""
        return len(self._waiting)

    def bind(self, method: Method, method_name: str) -> Method:
        """Return the method, refused with Overloaded when there is too much to do."""
        if method_name.rpartition("/")[2] in self._unlimited:
            return method
        limit, load, latency = self._limit, self._load, self._limit.method()
        clock = time.perf_counter
        calls = 0

        async def call(request: Any, context: Context) -> Any:
            nonlocal calls
            if load.overloaded:
                self._refuse(context)
            if self.in_flight < limit.value and not self._waiting:
                self.in_flight += 1
            else:
                await self._wait(context)
            calls += 1
            try:
                if calls % _SAMPLE_EVERY:
                    return await method(request, context)
                in_flight, begun = self.in_flight, clock()
                try:
                    response = await method(request, context)
                except DeadlineExceeded:
                    limit.learn(latency, clock() - begun, in_flight)
                    raise
                limit.learn(latency, clock() - begun, in_flight)
                return response
            finally:
                self.in_flight -= 1
                if self._waiting:
                    self._admit()

        return call

    def _refuse(self, context: Context) -> None:
        self.refused += 1
        own_call(context).logged = False  # there are many, and they are counted
        raise Overloaded

    async def _wait(self, context: Context) -> None:
        """Wait for a place, which is then this call's own."""
        if len(self._waiting) >= self._queue_size:
            self._refuse(context)
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._queue_timeout_s):
                await place
        except (TimeoutError, asyncio.CancelledError) as error:
            if place.cancelled():
                with suppress(ValueError):
                    self._waiting.remove(place)
            else:  # let in and given up in the same moment
                self.in_flight -= 1
            self._admit()
            if isinstance(error, TimeoutError):
                self._refuse(context)
            raise

    def _admit(self) -> None:
        while self._waiting and self.in_flight < self._limit.value:
            place = self._waiting.popleft()
            if not place.done():  # who has given up has not left the queue yet
                self.in_flight += 1
                place.set_result(None)
