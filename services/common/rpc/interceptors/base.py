"""Interceptors that are bound to a method once instead of being asked on every call."""

from abc import abstractmethod
from contextvars import ContextVar
from functools import cached_property
from typing import Any

from grpc_interceptor.server import AsyncServerInterceptor

from services.common.rpc.methods import Context, Method


class MethodInterceptor(AsyncServerInterceptor):
    """An interceptor whose work for one unary method is put together once, by ``bind``.

    Given to ``grpc.aio.server(interceptors=...)`` it works like any other of its kind, at the
    price that such a server asks for: what follows this one is put together for every call.
    """

    @abstractmethod
    def bind(self, method: Method, method_name: str) -> Method:
        """Return the method ``/package.Service/Method`` with this one's work round it."""

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
        return await self._following.get()(request, context)
