"""Adding a servicer to a server, after the contract."""

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from services.common.rpc.methods import UNREADABLE


def register(servicer: object, descriptor: ServiceDescriptor, server: aio.Server) -> None:
    """Let a server serve all methods of the contract by those of the servicer.

    A method answers with a message, or with the bytes of one that was serialized before. It is
    called with ``UNREADABLE`` where no message came: transports would differ in what they tell the
    client, and nobody would count the call. Raises ``TypeError`` if the servicer lacks a method,
    or if one is a stream.
    """
    handlers = {method.name: _handler(servicer, method) for method in descriptor.methods}
    generic = grpc.method_handlers_generic_handler(descriptor.full_name, handlers)
    server.add_generic_rpc_handlers((generic,))
    server.add_registered_method_handlers(descriptor.full_name, handlers)


def _handler(servicer: object, method: MethodDescriptor) -> "grpc.RpcMethodHandler[Any, Any]":
    if method.client_streaming or method.server_streaming:
        raise TypeError(f"{method.full_name} is a stream; only unary methods are served")
    serve = getattr(servicer, method.name, None)
    if serve is None:
        raise TypeError(f"{type(servicer).__name__} has no method {method.name}")
    return grpc.unary_unary_rpc_method_handler(
        serve,
        request_deserializer=_reading(GetMessageClass(method.input_type).FromString),
        response_serializer=_serialized,
    )


def _reading(parse: Callable[[bytes], Message]) -> Callable[[bytes], object]:
    def read(request: bytes) -> object:
        try:
            return parse(request)
        except DecodeError:
            return UNREADABLE

    return read


def _serialized(response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()
