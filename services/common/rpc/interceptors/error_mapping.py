"""What a failed call tells its client."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import structlog
from grpc.aio import AbortError
from grpc_interceptor.server import AsyncServerInterceptor

from services.common.call import current_call
from services.common.errors import DomainError
from services.common.rpc.methods import Context, Method
from services.common.rpc.status import internal_status, to_status

log = structlog.get_logger()

Translate = Callable[[Exception], DomainError | None]


class ErrorMappingInterceptor(AsyncServerInterceptor):
    """Turns errors into a gRPC status with details.

    Domain errors go by their table. ``translate`` may name the domain error that a library's
    exception stands for. Everything else is a fault of ours: it is logged, and the client
    gets INTERNAL and a request id.
    """

    def __init__(self, domain: str, translate: Translate) -> None:
        self._domain = domain
        self._translate = translate

    async def intercept(
        self,
        method: Method,
        request_or_iterator: Any,
        context: Context,
        method_name: str,
    ) -> Any:
        """Serve the call; abort it with a status if it raises."""
        try:
            return await method(request_or_iterator, context)
        except (AbortError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, the client gets a status)
            status = self._status_of(error, method_name)
        await context.abort(status.code, status.details, tuple(status.trailing_metadata))
        return None

    def _status_of(self, error: Exception, method_name: str) -> grpc.Status:
        request_id = current_call().request_id
        refusal = error if isinstance(error, DomainError) else self._translate(error)
        if refusal is None:
            log.error("call failed", method=method_name, exc_info=error)
            return internal_status(self._domain, request_id)
        if refusal is not error:
            log.warning("dependency failed", method=method_name, error=repr(error))
        return to_status(refusal, self._domain, request_id)
