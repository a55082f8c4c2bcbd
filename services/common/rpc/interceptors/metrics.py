"""Counting and timing each call."""

import asyncio
import time
from typing import Any

from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.methods import Context, Method, status_of
from services.common.telemetry.rpc import RpcMetrics


class MetricsInterceptor(MethodInterceptor):
    """Counts calls begun and ended, by the status that the client got, and times them.

    Of a call that was cancelled, the status follows from its deadline: DEADLINE_EXCEEDED when
    it has passed, CANCELLED before.
    """

    def __init__(self, metrics: RpcMetrics) -> None:
        self._metrics = metrics

    def bind(self, method: Method, method_name: str) -> Method:
        """Return the method, counted and timed."""
        series = self._metrics.of(method_name)
        clock = time.perf_counter

        async def call(request: Any, context: Context) -> Any:
            series.started += 1
            begun = clock()
            try:
                response = await method(request, context)
            except asyncio.CancelledError:
                series.failed(status_of(context, cancelled=True), clock() - begun)
                raise
            except BaseException:
                series.failed(status_of(context), clock() - begun)
                raise
            series.succeeded(clock() - begun)
            return response

        return call
