"""Spans of the calls that a service serves."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import grpc
from opentelemetry.context import Context as TraceContext
from opentelemetry.context import attach
from opentelemetry.semconv._incubating.attributes.rpc_attributes import (
    RPC_METHOD,
    RPC_RESPONSE_STATUS_CODE,
    RPC_SYSTEM_NAME,
)
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.common.call import Call, own_call
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.methods import Context, Method, status_of
from services.common.tracing.roots import Roots

REQUEST_ID: Final = "shop.request_id"
ANSWERED_FROM: Final = "shop.answered_from"

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_NOTHING: Final = TraceContext()
_OUR_FAULTS: Final = frozenset(  # the semantic conventions' list for servers
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


class TracingInterceptor(MethodInterceptor):
    """Makes each call a span, part of the caller's trace (W3C Trace Context) if there is one.

    It belongs inside what makes the call current, and outside of what gives failures their status.
    """

    def __init__(self, tracer: Tracer, roots: Roots) -> None:
        self._tracer = tracer
        self._roots = roots

    def bind(self, method: Method, method_name: str) -> Method:
        """Return the method, traced."""
        name = method_name[1:]
        attributes = {RPC_SYSTEM_NAME: "grpc", RPC_METHOD: name}
        start, roots = self._tracer.start_span, self._roots

        async def call(request: Any, context: Context) -> Any:
            this = own_call(context)
            callers = _callers(this.metadata)
            # What is attached stays so for the rest of the task, which serves nothing else.
            if callers is _NOTHING and not roots.begins():
                attach(roots.unseen)
                return await method(request, context)
            span = start(name, callers, SpanKind.SERVER, attributes)
            attach(set_span_in_context(span, _NOTHING))
            if not span.is_recording():
                return await method(request, context)
            code = grpc.StatusCode.OK
            try:
                return await method(request, context)
            except asyncio.CancelledError:
                code = status_of(context, cancelled=True)
                raise
            except BaseException:
                code = _failure(context)
                raise
            finally:
                _end(span, this, code)

        return call


def _callers(metadata: Iterable[tuple[str, Any]]) -> TraceContext:
    """Return the context that the caller sent, or none."""
    sent = {
        key: value
        for key, value in metadata
        if key in _PROPAGATOR.fields and isinstance(value, str)
    }
    return _PROPAGATOR.extract(sent, _NOTHING) if sent else _NOTHING  # itself, for nonsense


def _failure(context: Context) -> grpc.StatusCode:
    """Return the status of a call that raised, where nobody gave it one."""
    code = status_of(context)
    return grpc.StatusCode.UNKNOWN if code is grpc.StatusCode.OK else code


def _end(span: Span, call: Call, code: grpc.StatusCode) -> None:
    found = {RPC_RESPONSE_STATUS_CODE: code.name, REQUEST_ID: call.request_id}
    if call.source is not None:
        found[ANSWERED_FROM] = call.source.name.lower()
    if code in _OUR_FAULTS:
        found[ERROR_TYPE] = code.name
        span.set_status(StatusCode.ERROR)
    span.set_attributes(found)
    span.end()
