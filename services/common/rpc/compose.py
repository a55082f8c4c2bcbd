"""Binding interceptors round a servicer's methods once, when the service is put together."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from grpc_interceptor.server import AsyncServerInterceptor

from services.common.rpc.methods import Context, Method


def compose(
    servicer: object,
    descriptor: ServiceDescriptor,
    interceptors: Sequence[AsyncServerInterceptor],
) -> SimpleNamespace:
    """Return a servicer whose methods run through the interceptors, the first one outermost.

    What ``grpc.aio.server(interceptors=...)`` would put together for every call is put
    together here for every method.
    """
    return SimpleNamespace(
        **{
            method.name: _bind(
                getattr(servicer, method.name),
                f"/{descriptor.full_name}/{method.name}",
                interceptors,
            )
            for method in descriptor.methods
        }
    )


def _bind(
    method: Method, method_name: str, interceptors: Sequence[AsyncServerInterceptor]
) -> Method:
    for interceptor in reversed(interceptors):
        method = _wrap(interceptor, method, method_name)
    return method


def _wrap(interceptor: AsyncServerInterceptor, method: Method, method_name: str) -> Method:
    intercept = interceptor.intercept

    async def call(request: Any, context: Context) -> Any:
        return await intercept(method, request, context, method_name)

    return call
