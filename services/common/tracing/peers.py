"""Spans of the calls that a service makes."""

import asyncio
from dataclasses import dataclass
from typing import Final

import grpc
from grpc import aio
from opentelemetry.semconv._incubating.attributes.rpc_attributes import (
    RPC_METHOD,
    RPC_RESPONSE_STATUS_CODE,
    RPC_SYSTEM_NAME,
)
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.common.errors import DomainError
from services.common.rpc.channel import PeerCaller, Request, Response, UnaryMethod, method_name
from services.common.rpc.status import status_code

_PROPAGATOR: Final = TraceContextTextMapPropagator()


@dataclass(frozen=True, kw_only=True)
class TracedPeerCaller(PeerCaller):
    """Makes each call a span, and what the peer does for it a part of the trace."""

    tracer: Tracer

    async def call(
        self,
        method: UnaryMethod[Request, Response],
        request: Request,
        *metadata: tuple[str, str],
    ) -> Response:
        """Return the answer, as ``PeerCaller`` does."""
        name = f"{self.peer}/{method_name(request)}"
        span = self.tracer.start_span(
            name,
            kind=SpanKind.CLIENT,
            attributes={RPC_SYSTEM_NAME: "grpc", RPC_METHOD: name},
        )
        code = grpc.StatusCode.OK
        try:
            return await super().call(method, request, *metadata, *_told(span))
        except BaseException as error:
            code = _code_of(error)
            raise
        finally:
            _end(span, code)


def _told(span: Span) -> tuple[tuple[str, str], ...]:
    """Return the metadata that tells a peer of the span."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, set_span_in_context(span))
    return tuple(carrier.items())


def _code_of(error: BaseException) -> grpc.StatusCode:
    """Return the status of a call to a peer that failed."""
    told = error if isinstance(error, aio.AioRpcError) else error.__cause__
    if isinstance(told, aio.AioRpcError):
        return told.code()
    if isinstance(error, DomainError):  # no time was left to ask at all
        return status_code(error)
    if isinstance(error, asyncio.CancelledError):
        return grpc.StatusCode.CANCELLED
    return grpc.StatusCode.UNKNOWN


def _end(span: Span, code: grpc.StatusCode) -> None:
    span.set_attribute(RPC_RESPONSE_STATUS_CODE, code.name)
    if code is not grpc.StatusCode.OK:
        span.set_attribute(ERROR_TYPE, code.name)
        span.set_status(StatusCode.ERROR)
    span.end()
