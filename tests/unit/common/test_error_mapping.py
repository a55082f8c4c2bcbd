import asyncio
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AbortError
from structlog.testing import capture_logs

from services.common.errors import DomainError, InvalidArgument, NotFound, Unavailable
from services.common.rpc.interceptors.error_mapping import ErrorMappingInterceptor
from services.common.rpc.methods import Context, Method
from tests.unit.common.fakes import FakeContext

SECRET = "mongodb://root:hunter2@10.0.0.1"


class LibraryError(Exception):
    """What a driver raises when its store is down."""


def translate(error: Exception) -> DomainError | None:
    return Unavailable("the store is down") if isinstance(error, LibraryError) else None


def failing_with(error: BaseException) -> Method:
    async def method(request: Any, context: Context) -> Any:
        raise error

    return method


async def intercept(method: Method, context: FakeContext) -> Any:
    interceptor = ErrorMappingInterceptor("shop.test.v1", translate)
    return await interceptor.intercept(method, "request", context.context, "/shop.Test/Do")


async def test_a_call_that_succeeds_is_left_alone() -> None:
    async def method(request: Any, context: Context) -> Any:
        return f"answer to {request}"

    context = FakeContext()
    assert await intercept(method, context) == "answer to request"
    assert context.aborted_with is None


async def test_a_request_that_could_not_be_read_is_refused_and_never_served() -> None:
    context = FakeContext()
    interceptor = ErrorMappingInterceptor("shop.test.v1", translate)
    method = failing_with(AssertionError("it is served"))
    refusal = InvalidArgument.of("request", "is no message")
    with pytest.raises(AbortError), capture_logs() as logs:
        await interceptor.intercept(method, refusal, context.context, "/shop.Test/Do")
    assert context.aborted_with is grpc.StatusCode.INVALID_ARGUMENT
    assert logs == []


async def test_a_domain_error_becomes_its_status() -> None:
    context = FakeContext()
    with pytest.raises(AbortError), capture_logs() as logs:
        await intercept(failing_with(NotFound("nothing here")), context)
    assert (context.aborted_with, context.message) == (grpc.StatusCode.NOT_FOUND, "nothing here")
    assert not logs


async def test_a_library_error_becomes_the_status_it_stands_for_and_is_logged() -> None:
    context = FakeContext()
    with pytest.raises(AbortError), capture_logs() as logs:
        await intercept(failing_with(LibraryError(SECRET)), context)
    assert context.aborted_with is grpc.StatusCode.UNAVAILABLE
    assert SECRET not in f"{context.message}{context.trailing}"
    assert [line["log_level"] for line in logs] == ["warning"]


async def test_the_text_of_an_unknown_exception_is_logged_and_never_sent() -> None:
    context, error = FakeContext(), RuntimeError(SECRET)
    with pytest.raises(AbortError), capture_logs() as logs:
        await intercept(failing_with(error), context)
    assert (context.aborted_with, context.message) == (grpc.StatusCode.INTERNAL, "internal error")
    assert SECRET not in str(context.trailing)
    assert [(line["log_level"], line["exc_info"]) for line in logs] == [("error", error)]


async def test_every_failure_carries_a_reason_and_the_request_id() -> None:
    for error in (NotFound("no"), LibraryError(), RuntimeError()):
        context = FakeContext()
        with pytest.raises(AbortError), capture_logs():
            await intercept(failing_with(error), context)
        ((key, raw),) = context.trailing
        assert key == "grpc-status-details-bin"
        assert isinstance(raw, bytes)
        kinds = [entry.TypeName() for entry in status_pb2.Status.FromString(raw).details]
        assert error_details_pb2.ErrorInfo.DESCRIPTOR.full_name in kinds
        assert error_details_pb2.RequestInfo.DESCRIPTOR.full_name in kinds


@pytest.mark.parametrize("passing", [asyncio.CancelledError(), AbortError()], ids=type)
async def test_a_call_that_is_over_already_is_not_answered_again(passing: BaseException) -> None:
    context = FakeContext()
    with pytest.raises(type(passing)):
        await intercept(failing_with(passing), context)
    assert context.aborted_with is None
