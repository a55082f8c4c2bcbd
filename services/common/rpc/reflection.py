"""Server reflection on either transport."""

from collections.abc import Sequence
from typing import Final

import grpc
from grpc import aio
from grpc_reflection.v1alpha import reflection, reflection_pb2

_NAMES: Final = ("grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME)
"""v1, which clients ask for first, and v1alpha: their messages are the same on the wire."""


def enable_reflection(server: aio.Server, services: Sequence[str]) -> None:
    """Let clients ask the server for the contracts of the services it names, and of reflection.

    The handlers are added in the general way alone: reflection is a stream, which pygrpc-native
    hands to a grpcio server behind it, and that one takes no others.
    """
    servicer = reflection.aio.ReflectionServicer([*services, reflection.SERVICE_NAME])
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in _NAMES:
        handlers = grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
        server.add_generic_rpc_handlers((handlers,))
