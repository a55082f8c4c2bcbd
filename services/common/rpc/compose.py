"""Binding interceptors round a servicer's methods once, when the service is put together."""

from collections.abc import Sequence
from functools import reduce
from types import SimpleNamespace

from google.protobuf.descriptor import ServiceDescriptor

from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.methods import Method


def compose(
    servicer: object,
    descriptor: ServiceDescriptor,
    interceptors: Sequence[MethodInterceptor],
) -> SimpleNamespace:
    """Return a servicer whose methods run through the interceptors, the first one outermost.

    What ``grpc.aio.server(interceptors=...)`` would put together for every call is put
    together here for every method.
    """

    def bound(name: str) -> Method:
        full_name = f"/{descriptor.full_name}/{name}"
        handler: Method = getattr(servicer, name)
        return reduce(lambda method, i: i.bind(method, full_name), reversed(interceptors), handler)

    return SimpleNamespace(**{method.name: bound(method.name) for method in descriptor.methods})
