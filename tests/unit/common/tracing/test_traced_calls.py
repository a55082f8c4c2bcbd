import asyncio
from typing import Any

import grpc
import pytest
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from services.common.call import current_call
from services.common.freshness import Source
from services.common.rpc.interceptors.request_log import RequestLogInterceptor
from services.common.rpc.methods import Context, Method
from services.common.tracing.logs import add_trace
from services.common.tracing.roots import Roots
from services.common.tracing.server import TracingInterceptor
from tests.spans import Spans, id_of, parent_id
from tests.unit.common.fakes import FakeContext

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


async def answer(_request: Any, _context: Context) -> str:
    return "answer"


async def served(
    spans: Spans, context: FakeContext, method: Method = answer, sample_ratio: float = 1.0
) -> Any:
    """What a method returns, served in a task of its own as a server does."""
    name = "/shop.Test/Do"
    bound = TracingInterceptor(spans.tracer, Roots(sample_ratio)).bind(method, name)
    return await asyncio.create_task(
        RequestLogInterceptor().intercept(bound, "request", context.context, name)
    )


def traceparent(flags: str) -> FakeContext:
    return FakeContext([("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-{flags}")])


async def test_a_call_is_a_span_with_its_method_status_and_request_id(spans: Spans) -> None:
    async def from_redis(_request: Any, _context: Context) -> str:
        current_call().answered_from(Source.REDIS)
        return "answer"

    context = FakeContext([("x-request-id", "mine")])
    assert await served(spans, context, from_redis) == "answer"
    assert (spans.only.name, spans.only.kind) == ("shop.Test/Do", SpanKind.SERVER)
    assert spans.only.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "shop.Test/Do",
        "rpc.response.status_code": "OK",
        "shop.request_id": "mine",
        "shop.answered_from": "redis",
    }
    assert spans.only.status.status_code is StatusCode.UNSET


async def test_a_call_continues_the_trace_of_its_caller(spans: Spans) -> None:
    await served(spans, traceparent("01"))
    assert spans.only.context is not None
    assert f"{spans.only.context.trace_id:032x}" == TRACE_ID
    assert f"{parent_id(spans.only):016x}" == SPAN_ID


async def test_a_caller_who_is_traced_is_sampled_whatever_the_share(spans: Spans) -> None:
    await served(spans, FakeContext(), sample_ratio=0)
    await served(spans, traceparent("01"), sample_ratio=0)
    assert f"{parent_id(spans.only):016x}" == SPAN_ID


async def test_whom_a_call_asks_that_is_not_sampled_is_told_so(spans: Spans) -> None:
    async def see(_request: Any, _context: Context) -> Any:
        return get_current_span().get_span_context(), add_trace(None, "", {})

    seen, line = await served(spans, FakeContext(), see, sample_ratio=0)
    assert seen.is_valid
    assert not seen.trace_flags.sampled
    assert line == {}


async def test_about_the_share_of_calls_that_is_asked_for_is_sampled(spans: Spans) -> None:
    for _ in range(1_000):
        await served(spans, FakeContext(), sample_ratio=0.5)
    assert 350 < len(spans.ended) < 650  # nine standard deviations


async def test_a_caller_who_is_not_sampled_is_believed_and_passed_on(spans: Spans) -> None:
    async def see(_request: Any, _context: Context) -> Any:
        return get_current_span().get_span_context()

    seen = await served(spans, traceparent("00"), see)
    assert not spans.ended
    assert f"{seen.trace_id:032x}" == TRACE_ID
    assert not seen.trace_flags.sampled


@pytest.mark.parametrize("said", ["", "nonsense", f"00-{'0' * 32}-{SPAN_ID}-01", b"bytes"])
async def test_a_caller_who_says_nonsense_is_not_believed(spans: Spans, said: str | bytes) -> None:
    context = FakeContext([("traceparent", said)])
    await served(spans, context)
    await served(spans, context, sample_ratio=0)
    assert parent_id(spans.only) == 0


async def test_a_call_is_no_part_of_what_its_server_was_started_in(spans: Spans) -> None:
    with spans.asking():
        await served(spans, FakeContext())
    assert parent_id(spans.only) == 0


async def test_what_is_done_for_a_call_is_done_within_its_span(spans: Spans) -> None:
    async def see(_request: Any, _context: Context) -> tuple[int, dict[str, Any]]:
        return id_of(get_current_span()), dict(add_trace(None, "", {}))

    seen, line = await served(spans, FakeContext(), see)
    assert spans.only.context is not None
    assert seen == spans.only.context.span_id
    assert line == {
        "trace_id": f"{spans.only.context.trace_id:032x}",
        "span_id": f"{seen:016x}",
    }


def test_a_line_that_is_written_outside_a_call_names_no_trace() -> None:
    assert add_trace(None, "", {"event": "started"}) == {"event": "started"}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.NOT_FOUND, StatusCode.UNSET),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, StatusCode.UNSET),
        (grpc.StatusCode.UNAVAILABLE, StatusCode.ERROR),
        (grpc.StatusCode.INTERNAL, StatusCode.ERROR),
    ],
)
async def test_a_refusal_is_an_error_only_if_it_is_a_fault_of_ours(
    spans: Spans, code: grpc.StatusCode, status: StatusCode
) -> None:
    async def refuse(_request: Any, context: Context) -> None:
        await context.abort(code, "names somebody")

    with pytest.raises(grpc.aio.AbortError):
        await served(spans, FakeContext(), refuse)
    assert spans.only.attributes is not None
    assert spans.only.attributes["rpc.response.status_code"] == code.name
    assert spans.only.status.status_code is status
    assert spans.only.status.description is None
    assert not spans.only.events


async def test_a_call_that_fails_without_a_status_is_unknown_to_its_client(spans: Spans) -> None:
    async def fail(_request: Any, _context: Context) -> None:
        raise ValueError("names somebody")

    with pytest.raises(ValueError, match="names somebody"):
        await served(spans, FakeContext(), fail)
    assert spans.only.attributes is not None
    assert spans.only.attributes["error.type"] == "UNKNOWN"


@pytest.mark.parametrize(
    ("time_left_s", "code"), [(None, "CANCELLED"), (30.0, "CANCELLED"), (0.0, "DEADLINE_EXCEEDED")]
)
async def test_a_call_that_is_ended_from_outside_has_the_status_that_its_client_got(
    spans: Spans, time_left_s: float | None, code: str
) -> None:
    async def be_cancelled(_request: Any, _context: Context) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await served(spans, FakeContext(time_left_s=time_left_s), be_cancelled)
    assert spans.only.attributes is not None
    assert spans.only.attributes["rpc.response.status_code"] == code
