"""What a refused call told its client."""

import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AioRpcError

_REASON = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Refused:
    """The status of a refused call and its google.rpc details; None for a missing detail."""

    code: grpc.StatusCode
    message: str
    reason: str | None = None
    domain: str | None = None
    metadata: Mapping[str, str] | None = None
    fields: Sequence[str] | None = None
    descriptions: Sequence[str] = ()
    retry_delay_s: float | None = None
    request_id: str | None = None

    def confirm_complete(self, domain: str) -> None:
        """Fail unless the client is told what every refusal tells."""
        assert self.message
        assert self.reason is not None
        assert _REASON.fullmatch(self.reason)
        assert self.domain == domain
        assert self.request_id
        assert (self.fields is not None) == (self.code is grpc.StatusCode.INVALID_ARGUMENT)


async def refused(answer: Awaitable[object]) -> Refused:
    """Return how a call was refused; fail if it was not."""
    with pytest.raises(AioRpcError) as caught:
        await answer
    return read(caught.value)


async def outcome(answer: Awaitable[object]) -> grpc.StatusCode:
    """Return the status of a call, OK included."""
    try:
        await answer
    except AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def read(error: AioRpcError) -> Refused:
    """Return what the error says."""
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    request = error_details_pb2.RequestInfo()
    found = {type(detail) for detail in (info, bad, retry, request) if _unpack(error, detail)}
    violations = bad.field_violations
    return Refused(
        code=error.code(),
        message=error.details() or "",
        reason=info.reason if type(info) in found else None,
        domain=info.domain if type(info) in found else None,
        metadata=dict(info.metadata) if type(info) in found else None,
        fields=[violation.field for violation in violations] if type(bad) in found else None,
        descriptions=[violation.description for violation in violations],
        retry_delay_s=retry.retry_delay.ToMilliseconds() / 1000 if type(retry) in found else None,
        request_id=request.request_id if type(request) in found else None,
    )


def _unpack(
    error: AioRpcError,
    detail: error_details_pb2.ErrorInfo
    | error_details_pb2.BadRequest
    | error_details_pb2.RetryInfo
    | error_details_pb2.RequestInfo,
) -> bool:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
            return any(packed.Unpack(detail) for packed in status.details)
    return False
