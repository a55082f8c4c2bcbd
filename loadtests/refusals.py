"""What a refused call says of when to come back."""

from typing import Any, Final

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

_DETAILS_KEY: Final = "grpc-status-details-bin"
_RETRY_INFO: Final = "google.rpc.RetryInfo"


def retry_delay_s(error: grpc.RpcError) -> float:
    """Return for how long a refused call asks its caller to wait, by google.rpc.RetryInfo; or 0."""
    refused: Any = error
    for key, value in refused.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            return _delay_s(value)
    return 0.0


def _delay_s(details: bytes) -> float:
    try:
        for packed in _Status.FromString(details).details:
            if packed.TypeName() == _RETRY_INFO:
                delay: Duration = _RetryInfo.FromString(packed.value).retry_delay
                return delay.ToMilliseconds() / 1000
    except DecodeError:
        return 0.0
    return 0.0


def _messages() -> tuple[Any, Any]:
    """Return as much of google.rpc's Status and RetryInfo as is read here.

    The package that has them is none of Locust's, and the fields have had these numbers always.
    """
    file = FileDescriptorProto(
        name="loadtests/refusals.proto", package="google.rpc", syntax="proto3"
    )
    for message, field, number, many, of in (
        ("Status", "details", 3, True, Packed),
        ("RetryInfo", "retry_delay", 1, False, Duration),
    ):
        file.dependency.append(of.DESCRIPTOR.file.name)
        file.message_type.add(name=message).field.add(
            name=field,
            number=number,
            type=FieldDescriptorProto.TYPE_MESSAGE,
            type_name=f".{of.DESCRIPTOR.full_name}",
            label=(
                FieldDescriptorProto.LABEL_REPEATED if many else FieldDescriptorProto.LABEL_OPTIONAL
            ),
        )
    pool = DescriptorPool()  # of its own: where google.rpc is installed, its names are taken
    for dependency in (Packed, Duration):
        pool.AddSerializedFile(dependency.DESCRIPTOR.file.serialized_pb)
    pool.Add(file)
    named = (pool.FindMessageTypeByName(f"google.rpc.{name}") for name in ("Status", "RetryInfo"))
    status, retry_info = map(GetMessageClass, named)
    return status, retry_info


_Status, _RetryInfo = _messages()
