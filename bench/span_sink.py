"""A collector that only counts the spans it is sent."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from grpc import aio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    add_TraceServiceServicer_to_server,
)

ARM: Final = "bench.arm"
"""The resource attribute by which spans are counted."""


class SpanSink:
    """Counts spans by the arm that sent them."""

    def __init__(self) -> None:
        self.port = 0
        self.spans: Counter[str] = Counter()

    async def Export(
        self, request: ExportTraceServiceRequest, _context: Any
    ) -> ExportTraceServiceResponse:
        """Take spans in."""
        for sent in request.resource_spans:
            said = {pair.key: pair.value.string_value for pair in sent.resource.attributes}
            self.spans[said.get(ARM, "")] += sum(len(scope.spans) for scope in sent.scope_spans)
        return ExportTraceServiceResponse()


@asynccontextmanager
async def sinking() -> AsyncIterator[SpanSink]:
    """Take spans on a free port until the end of the block."""
    sink = SpanSink()
    server = aio.server()
    add_TraceServiceServicer_to_server(sink, server)  # type: ignore[no-untyped-call]
    sink.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield sink
    finally:
        await server.stop(0)
