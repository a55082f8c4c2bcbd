"""A name for each call, and a line in the log when it is over."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import grpc
import structlog

from services.common.call import Call, enter_call
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.methods import Context, Method, status_of

_OUR_FAULTS: Final = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}

log = structlog.get_logger()


class RequestLogInterceptor(MethodInterceptor):
    """Gives each call its request id, from the caller or new, and logs how the call ended.

    Refused calls are logged at level ``info``, those that failed because of us or of something
    we need at ``warning``, and with ``every_call`` those that succeed at ``debug``.
    """

    def __init__(self, *, every_call: bool = False) -> None:
        self._every_call = every_call

    def bind(self, method: Method, method_name: str) -> Method:
        """Return the method served as the current call of its task."""
        every_call = self._every_call
        clock = time.perf_counter

        async def call(request: Any, context: Context) -> Any:
            this = Call(carrier=context)
            enter_call(this)
            started = clock()
            try:
                response = await method(request, context)
            except asyncio.CancelledError:
                _log_end(log.info, this, method_name, status_of(context, cancelled=True), started)
                raise
            except BaseException:
                if this.logged:
                    code = status_of(context)
                    write = log.warning if code in _OUR_FAULTS else log.info
                    _log_end(write, this, method_name, code, started)
                raise
            else:
                if every_call:
                    _log_end(log.debug, this, method_name, grpc.StatusCode.OK, started)
                return response
            finally:
                # The task holds the call, it the context, and that may hold the task: without
                # this, every call would wait for the garbage collector.
                this.carrier = None

        return call


def _log_end(
    write: Callable[..., Any], call: Call, method: str, code: grpc.StatusCode, started: float
) -> None:
    ms = round((time.perf_counter() - started) * 1000, 2)
    write("call", method=method, code=code.name, ms=ms, request_id=call.request_id)
