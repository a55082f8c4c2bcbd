"""Adding a servicer to a server, after the contract."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from services.common.rpc.unreadable import reader

DEFAULT_MAX_BYTES: Final = 1024


def register(
    servicer: object,
    descriptor: ServiceDescriptor,
    server: aio.Server,
    max_bytes: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Let a server serve all methods of the contract by those of the servicer.

    A method answers with a message, or with the bytes of one that was serialized before. It gets
    the error that refuses it in place of a request that has more bytes than ``max_bytes`` gives the
    method, 1 KiB where it does not, or that is no message. Raises ``TypeError`` if the servicer
    lacks a method, or if one is a stream.
    """
    handlers = {
        method.name: _handler(servicer, method, max_bytes.get(method.name, DEFAULT_MAX_BYTES))
        for method in descriptor.methods
    }
    generic = grpc.method_handlers_generic_handler(descriptor.full_name, handlers)
    server.add_generic_rpc_handlers((generic,))
    server.add_registered_method_handlers(descriptor.full_name, handlers)


def _handler(
    servicer: object, method: MethodDescriptor, max_bytes: int
) -> "grpc.RpcMethodHandler[Any, Any]":
    if method.client_streaming or method.server_streaming:
        raise TypeError(f"{method.full_name} is a stream; only unary methods are served")
    serve = getattr(servicer, method.name, None)
    if serve is None:
        raise TypeError(f"{type(servicer).__name__} has no method {method.name}")
    return grpc.unary_unary_rpc_method_handler(
        serve,
        request_deserializer=reader(GetMessageClass(method.input_type).FromString, max_bytes),
        response_serializer=_serialized,
    )


def _serialized(response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()
