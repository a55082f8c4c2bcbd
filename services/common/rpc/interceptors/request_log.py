"""A name for each call, and a line in the log when it is over."""

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

import grpc
import structlog
from grpc_interceptor.server import AsyncServerInterceptor

from services.common.call import Call, enter_call
from services.common.rpc.methods import Context, Method

REQUEST_ID_KEY: Final = "x-request-id"
_ACCEPTED: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger()


class RequestLogInterceptor(AsyncServerInterceptor):
    """Gives each call its request id, from the caller or new, and logs how the call ended.

    Calls that succeed are logged at level ``debug``, refused ones at ``info``, and those that
    failed because of us or of something we need at ``warning``.
    """

    async def intercept(
        self,
        method: Method,
        request_or_iterator: Any,
        context: Context,
        method_name: str,
    ) -> Any:
        """Serve the call as the current one of this task."""
        enter_call(Call(request_id=_request_id(context)))
        started = time.perf_counter()
        try:
            response = await method(request_or_iterator, context)
        except asyncio.CancelledError:
            _log_end(log.info, method_name, "CANCELLED", started)
            raise
        except BaseException:
            code = _code(context)
            write = log.warning if code in _OUR_FAULTS else log.info
            _log_end(write, method_name, code.name, started)
            raise
        _log_end(log.debug, method_name, "OK", started)
        return response


_OUR_FAULTS: Final = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


def _request_id(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and _ACCEPTED.fullmatch(value):
            return value
    return secrets.token_hex(8)


_CODE_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}


def _code(context: Context) -> grpc.StatusCode:
    """Return the status the call ended with; grpc.aio keeps an aborted call's as a number."""
    code: Any = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    return _CODE_BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN)


def _log_end(write: Callable[..., Any], method: str, code: str, started: float) -> None:
    write("call", method=method, code=code, ms=round((time.perf_counter() - started) * 1000, 2))
