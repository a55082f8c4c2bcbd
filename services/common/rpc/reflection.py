"""Server reflection on either transport."""

from collections.abc import Sequence
from typing import Any

from grpc import aio
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc


def enable_reflection(server: aio.Server, services: Sequence[str]) -> None:
    """Let clients ask the server for the contracts of the services it names, and of reflection."""
    servicer = reflection.aio.ReflectionServicer([*services, reflection.SERVICE_NAME])
    register: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
    register(servicer, _GenericOnly(server))


class _GenericOnly:
    """A server that takes handlers in the general way alone.

    Reflection is a stream, which pygrpc-native hands to a ``grpc.aio`` server behind it; that one
    ignores handlers added in the way that generated code adds them besides.
    """

    def __init__(self, server: aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, _service: str, _handlers: Any) -> None:
        pass
