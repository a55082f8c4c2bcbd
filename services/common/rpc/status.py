"""The one table from domain errors to gRPC status, and the rich details that travel with it.

Details follow google.rpc (AIP-193): ``ErrorInfo`` always, ``BadRequest`` for bad input,
``RetryInfo`` when it makes sense to come back (and the same for clients that retry by service
config, in ``grpc-retry-pushback-ms``, gRFC A6), ``RequestInfo`` to find the call in the logs.
All of it travels in trailing metadata, of which gRPC takes 8 KiB for sure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, NamedTuple

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc.aio import AioRpcError
from grpc_status import rpc_status

from services.common import errors

STATUS_OF: Final[Mapping[type[errors.DomainError], grpc.StatusCode]] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Aborted: grpc.StatusCode.ABORTED,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
}

_DETAILS_KEY: Final = "grpc-status-details-bin"
_PUSHBACK_KEY: Final = "grpc-retry-pushback-ms"
_MAX_MESSAGE_CHARS: Final = 256
_MAX_VIOLATIONS_BYTES: Final = 2_000


class Answer(NamedTuple):
    """What a client receives instead of a response."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def status_code(error: errors.DomainError) -> grpc.StatusCode:
    """Return the gRPC status of an error: that of its nearest class in the table."""
    return next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)


def to_status(error: errors.DomainError, domain: str, request_id: str) -> Answer:
    """Return the status with details that a client receives for an error."""
    code, _ = status_code(error).value
    status = status_pb2.Status(code=code, message=_shortened(error.message))
    for detail in _details(error, domain, request_id):
        status.details.append(_packed(detail))
    if isinstance(error, errors.ResourceExhausted):
        return _answer(status, (_PUSHBACK_KEY, str(_delay_ms(error))))
    return _answer(status)


def internal_status(domain: str, request_id: str) -> Answer:
    """Return the status of a fault of ours: it says nothing but where to look in the logs."""
    status = status_pb2.Status(code=code_pb2.INTERNAL, message="internal error")
    status.details.append(_packed(error_details_pb2.ErrorInfo(reason="INTERNAL", domain=domain)))
    status.details.append(_packed(error_details_pb2.RequestInfo(request_id=request_id)))
    return _answer(status)


def _answer(status: status_pb2.Status, *more: tuple[str, str | bytes]) -> Answer:
    rich = rpc_status.to_status(status)
    return Answer(rich.code, rich.details, (*rich.trailing_metadata, *more))


def _delay_ms(error: errors.ResourceExhausted) -> int:
    # Below zero means not to retry at all (gRFC A6).
    return int(error.retry_delay_s * 1000) if isfinite(error.retry_delay_s) else -1


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a peer refused: its status, and its ErrorInfo if it sent one."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_refusal(error: AioRpcError) -> Refusal:
    """Return what a failed call to another service says."""
    code, message = error.code(), error.details() or ""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            info = _error_info(value if isinstance(value, bytes) else value.encode())
            if info is not None:
                return Refusal(code, message, info.reason, dict(info.metadata))
    return Refusal(code, message)


def _error_info(raw: bytes) -> error_details_pb2.ErrorInfo | None:
    info = error_details_pb2.ErrorInfo()
    try:
        for detail in status_pb2.Status.FromString(raw).details:
            if detail.Unpack(info):
                return info
    except DecodeError:
        return None
    return None


def _details(error: errors.DomainError, domain: str, request_id: str) -> list[Message]:
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=domain, metadata=error.metadata)
    ]
    if request_id:
        details.append(error_details_pb2.RequestInfo(request_id=request_id))
    if isinstance(error, errors.InvalidArgument):
        details.append(error_details_pb2.BadRequest(field_violations=_field_violations(error)))
    if isinstance(error, errors.ResourceExhausted) and isfinite(error.retry_delay_s):
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(_delay_ms(error))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return details


def _field_violations(
    error: errors.InvalidArgument,
) -> Iterator[error_details_pb2.BadRequest.FieldViolation]:
    """Yield the first violations, as many as find room."""
    room = _MAX_VIOLATIONS_BYTES
    for violation in error.violations:
        message = error_details_pb2.BadRequest.FieldViolation(
            field=violation.field, description=_shortened(violation.description)
        )
        room -= message.ByteSize()
        if room < 0:
            return
        yield message


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_MESSAGE_CHARS else f"{text[: _MAX_MESSAGE_CHARS - 1]}…"


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
