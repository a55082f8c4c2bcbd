import asyncio
import time
from typing import Any

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata
from opentelemetry.trace import SpanKind, StatusCode
from shop.inventory.v1 import inventory_pb2 as pb

from services.common.auth.tokens import ServiceIdentity
from services.common.call import Call, enter_call
from services.common.errors import DeadlineExceeded
from services.common.rpc.channel import PeerUnavailable
from services.common.tracing.peers import TracedPeerCaller
from tests.spans import Spans, id_of, parent_id
from tests.unit.common.fakes import new_signing_key

SERVICE = "shop.inventory.v1.InventoryService"
IDENTITY = ServiceIdentity("order", new_signing_key())
REQUEST = pb.CommitReservationRequest(reservation_id="of somebody")


class Peer:
    """Answers, or fails as it is told, and remembers what it was told."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self._failure = failure
        self.metadata: dict[str, str] = {}

    async def __call__(
        self,
        _request: pb.CommitReservationRequest,
        /,
        *,
        timeout: float,  # noqa: ASYNC109 (a stub's)
        metadata: Any,
    ) -> str:
        self.metadata = dict(metadata)
        if self._failure is not None:
            raise self._failure
        return "answer"


def caller(spans: Spans) -> TracedPeerCaller:
    return TracedPeerCaller(SERVICE, IDENTITY, 5.0, tracer=spans.tracer)


def refused(code: grpc.StatusCode) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details="names somebody")


async def test_a_call_is_a_span_that_the_peer_is_told_of(spans: Spans) -> None:
    peer = Peer()
    with spans.asking() as asker:
        assert await caller(spans).call(peer, REQUEST, ("cache-control", "no-near")) == "answer"
    assert spans.only.name == f"{SERVICE}/CommitReservation"
    assert spans.only.kind is SpanKind.CLIENT
    assert parent_id(spans.only) == id_of(asker)
    assert spans.only.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": f"{SERVICE}/CommitReservation",
        "rpc.response.status_code": "OK",
    }
    told = spans.only.context
    assert told is not None
    _, trace_id, span_id, flags = peer.metadata["traceparent"].split("-")
    assert (trace_id, span_id) == (f"{told.trace_id:032x}", f"{told.span_id:016x}")
    assert int(flags, 16) & 1
    assert peer.metadata["cache-control"] == "no-near"


async def test_a_peer_is_told_that_a_call_is_not_sampled(spans: Spans) -> None:
    unsampled, peer = Spans(sample_ratio=0), Peer()
    with unsampled.asking() as asker:
        await caller(spans).call(peer, REQUEST)
    assert not spans.ended
    _, trace_id, _, flags = peer.metadata["traceparent"].split("-")
    assert trace_id == f"{asker.get_span_context().trace_id:032x}"
    assert not int(flags, 16) & 1


@pytest.mark.parametrize(
    ("failure", "raised", "code"),
    [
        (refused(grpc.StatusCode.NOT_FOUND), AioRpcError, "NOT_FOUND"),
        (refused(grpc.StatusCode.DEADLINE_EXCEEDED), PeerUnavailable, "DEADLINE_EXCEEDED"),
        (asyncio.CancelledError(), asyncio.CancelledError, "CANCELLED"),
        (RuntimeError("names somebody"), RuntimeError, "UNKNOWN"),
    ],
)
async def test_every_failure_of_a_peer_is_an_error_and_tells_only_its_status(
    spans: Spans, failure: BaseException, raised: type[BaseException], code: str
) -> None:
    with pytest.raises(raised):
        await caller(spans).call(Peer(failure), REQUEST)
    assert spans.only.attributes is not None
    assert spans.only.attributes["rpc.response.status_code"] == code
    assert spans.only.attributes["error.type"] == code
    assert spans.only.status.status_code is StatusCode.ERROR
    assert spans.only.status.description is None
    assert not spans.only.events


async def test_a_call_for_which_no_time_is_left_is_a_span_all_the_same(spans: Spans) -> None:
    async def too_late() -> None:
        enter_call(Call("late", deadline=time.monotonic() - 1))
        await caller(spans).call(Peer(), REQUEST)

    with pytest.raises(DeadlineExceeded):
        await asyncio.create_task(too_late())
    assert spans.only.attributes is not None
    assert spans.only.attributes["error.type"] == "DEADLINE_EXCEEDED"
