"""What a failed call tells its client."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import structlog
from grpc.aio import AbortError

from services.common.call import current_call
from services.common.errors import DomainError
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.methods import Context, Method
from services.common.rpc.status import Answer, internal_status, to_status
from services.common.rpc.transport import sendable

log = structlog.get_logger()

Translate = Callable[[Exception], DomainError | None]


class ErrorMappingInterceptor(MethodInterceptor):
    """Turns errors into a gRPC status with details.

    Domain errors go by their table, and so do those that stand in for a request. ``translate``
    may name the domain error that a library's exception stands for. Everything else is a fault
    of ours: it is logged, and the client gets INTERNAL and a request id.
    """

    streams_too = True

    def __init__(self, domain: str, translate: Translate) -> None:
        self._domain = domain
        self._translate = translate
        self._prepared: dict[type[DomainError], Answer] = {}

    def bind(self, method: Method, method_name: str) -> Method:
        """Return the method, aborted with a status if it raises."""

        async def call(request: Any, context: Context) -> Any:
            if isinstance(request, DomainError):
                await _abort(context, self._status_of(request, method_name))
            try:
                return await method(request, context)
            except (AbortError, asyncio.CancelledError):
                raise
            except Exception as error:  # noqa: BLE001 (whatever it is, the client gets a status)
                status = self._status_of(error, method_name)
            return await _abort(context, status)

        return call

    async def intercept(
        self, method: Method, request_or_iterator: Any, context: Context, method_name: str
    ) -> Any:
        """Serve one call of a plain server, which may be answered with a stream."""
        answer = await super().intercept(method, request_or_iterator, context, method_name)
        if hasattr(answer, "__aiter__"):
            return self._passed_on(answer, context, method_name)
        return answer

    async def _passed_on(
        self, messages: AsyncIterator[Any], context: Context, method_name: str
    ) -> AsyncIterator[Any]:
        try:
            async for message in messages:
                yield message
        except (AbortError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 (as above)
            await _abort(context, self._status_of(error, method_name))

    def _status_of(self, error: Exception, method_name: str) -> Answer:
        if isinstance(error, DomainError) and error.always_alike:
            return self._prepare(error)
        request_id = current_call().request_id
        refusal = error if isinstance(error, DomainError) else self._translate(error)
        if refusal is None:
            log.error("call failed", method=method_name, exc_info=error)
            return internal_status(self._domain, request_id)
        if refusal is not error:
            log.warning("dependency failed", method=method_name, error=repr(error))
        return to_status(refusal, self._domain, request_id)

    def _prepare(self, error: DomainError) -> Answer:
        """Return the answer that all errors of this class share, which names no request."""
        answer = self._prepared.get(type(error))
        if answer is None:
            answer = self._prepared[type(error)] = to_status(error, self._domain, request_id="")
        return answer


async def _abort(context: Context, status: Answer) -> NoReturn:
    told = (*context.trailing_metadata(), *status.trailing_metadata)
    try:
        await context.abort(status.code, status.details, sendable(context, told))
    except AbortError as error:
        # grpcio's call keeps the error, whose traceback keeps the call: until the collector comes,
        # each refusal would count as an open stream, and a connection has 1,000 of them.
        asyncio.get_running_loop().call_soon(error.with_traceback, None)
        raise
