import asyncio
from typing import Any

import grpc
import pytest
from grpc.aio import AbortError
from structlog.testing import capture_logs
from structlog.typing import EventDict

from services.common.auth.principal import ANONYMOUS
from services.common.call import current_call
from services.common.rpc.interceptors.request_log import RequestLogInterceptor
from services.common.rpc.methods import Context, Method
from tests.unit.common.fakes import FakeContext


async def request_id(request: Any, context: Context) -> str:
    assert current_call().principal is ANONYMOUS
    return current_call().request_id


async def unasked(request: Any, context: Context) -> str:
    return "whatever the call is named"


async def served(context: FakeContext, method: Method = request_id) -> Any:
    """What a method returns, served in a task of its own as a server does."""
    return await asyncio.create_task(
        RequestLogInterceptor(every_call=True).intercept(
            method, "request", context.context, "/shop.Test/Do"
        )
    )


async def logged(context: FakeContext, method: Method) -> EventDict:
    with capture_logs() as logs:
        await asyncio.gather(served(context, method), return_exceptions=True)
    (line,) = logs
    return line


async def test_a_call_keeps_the_request_id_that_its_caller_gave() -> None:
    context = FakeContext([("user-agent", "me"), ("x-request-id", "Checkout-7.a_b")])
    assert await served(context) == "Checkout-7.a_b"


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("x-request-id", "")],
        [("x-request-id", "x" * 65)],
        [("x-request-id", 'a" level="error')],
        [("x-request-id", "a\nb")],
        [("x-request-id", b"bytes")],
    ],
    ids=["none", "empty", "over-long", "quoting", "two lines", "bytes"],
)
async def test_a_call_without_a_good_request_id_gets_a_new_one(
    metadata: list[tuple[str, str | bytes]],
) -> None:
    first, second = await served(FakeContext(metadata)), await served(FakeContext(metadata))
    given = [value for _, value in metadata]
    assert first != second
    assert first
    assert first not in given


async def test_the_call_is_current_in_its_own_task_alone() -> None:
    await served(FakeContext([("x-request-id", "mine")]))
    assert current_call().request_id == "-"


async def test_a_call_that_succeeds_is_logged_for_debugging() -> None:
    line = await logged(FakeContext([("x-request-id", "mine")]), unasked)
    assert line["request_id"] == "mine"
    assert (line["log_level"], line["method"], line["code"]) == ("debug", "/shop.Test/Do", "OK")


@pytest.mark.parametrize(
    ("code", "level"),
    [
        (grpc.StatusCode.NOT_FOUND, "info"),
        (grpc.StatusCode.PERMISSION_DENIED, "info"),
        (grpc.StatusCode.UNAVAILABLE, "warning"),
        (grpc.StatusCode.INTERNAL, "warning"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "warning"),
    ],
)
async def test_refusals_are_logged_as_news_and_our_faults_as_warnings(
    code: grpc.StatusCode, level: str
) -> None:
    async def abort(request: Any, context: Context) -> Any:
        await context.abort(code)

    line = await logged(FakeContext(), abort)
    assert (line["log_level"], line["code"]) == (level, code.name)


@pytest.mark.parametrize(
    ("error", "code"),
    [(asyncio.CancelledError(), "CANCELLED"), (AbortError(), "OK")],
    ids=["cancelled", "aborted"],
)
async def test_the_end_of_a_call_passes_through(error: BaseException, code: str) -> None:
    async def end(request: Any, context: Context) -> Any:
        raise error

    with pytest.raises(type(error)):
        await served(FakeContext(), end)
    assert (await logged(FakeContext(), end))["code"] == code
