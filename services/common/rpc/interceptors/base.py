"""Interceptors that are bound to a method once instead of being asked on every call."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import cached_property
from typing import Any, ClassVar

import grpc
from grpc_interceptor.server import AsyncServerInterceptor

from services.common.rpc.methods import Context, Method


class MethodInterceptor(AsyncServerInterceptor):
    """An interceptor whose work for one unary method is put together once, by ``bind``.

    Given to ``grpc.aio.server(interceptors=...)`` it works like any other of its kind, at the
    price that such a server asks for: what follows this one is put together for every call.
    Streams of such a server (reflection is one) pass it by unless it is for ``streams_too``, and
    then it is round their beginning.
    """

    streams_too: ClassVar[bool] = False

    @abstractmethod
    def bind(self, method: Method, method_name: str) -> Method:
        """Return the method ``/package.Service/Method`` with this one's work round it."""

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return what serves a method of a plain server."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        if (handler.request_streaming or handler.response_streaming) and not self.streams_too:
            return handler

        async def known(_details: object) -> Any:
            return handler

        around: Any = super().intercept_service
        return await around(known, handler_call_details)

    async def intercept(
        self, method: Method, request_or_iterator: Any, context: Context, method_name: str
    ) -> Any:
        """Serve one call."""
        bound = self._bound.get(method_name)
        if bound is None:
            bound = self._bound[method_name] = self.bind(self._follow, method_name)
        self._following.set(method)
        return await bound(request_or_iterator, context)

    @cached_property
    def _bound(self) -> dict[str, Method]:
        """The methods met so far, each with this one's work round whatever follows."""
        return {}

    @cached_property
    def _following(self) -> ContextVar[Method]:
        """What follows in the call that this task serves."""
        return ContextVar("following")

    async def _follow(self, request: Any, context: Context) -> Any:
        answer: Any = self._following.get()(request, context)
        # A stream is its messages, or writes them itself.
        return answer if hasattr(answer, "__aiter__") else await answer
