"""A collector of spans, spoken to with OTLP over gRPC as any other."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from grpc import aio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True, slots=True)
class CollectedSpan:
    """A span as it arrived, and the resource that sent it."""

    service: str
    span: trace_pb2.Span
    attributes: dict[str, str]

    @property
    def name(self) -> str:
        """The name without the package that all our services have."""
        return self.span.name.removeprefix("shop.")

    @property
    def trace_id(self) -> str:
        return self.span.trace_id.hex()

    @property
    def kind(self) -> str:
        return trace_pb2.Span.SpanKind.Name(self.span.kind).removeprefix("SPAN_KIND_").lower()


@dataclass(slots=True)
class Collector:
    """All that arrived."""

    port: int = 0
    requests: list[trace_service_pb2.ExportTraceServiceRequest] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, _context: Any
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Take spans in."""
        self.requests.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self, trace_id: str = "") -> list[CollectedSpan]:
        """Return the spans of one trace, or of all."""
        return [span for span in self._all() if trace_id in ("", span.trace_id)]

    def _all(self) -> Iterator[CollectedSpan]:
        for request in self.requests:
            for resource in request.resource_spans:
                service = _plain(resource.resource.attributes)["service.name"]
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        yield CollectedSpan(service, span, _plain(span.attributes))


def tree(spans: Sequence[CollectedSpan]) -> list[str]:
    """Return the names of spans, each below its parent and indented, in the order they began.

    A span whose parent is not among them stands on its own.
    """
    known = {span.span.span_id for span in spans}
    ordered = sorted(spans, key=lambda span: span.span.start_time_unix_nano)

    def below(parent: bytes, depth: int) -> Iterator[str]:
        for one in ordered:
            theirs = one.span.parent_span_id
            if theirs == parent or (not parent and theirs not in known):
                yield f"{'  ' * depth}{one.service} {one.kind} {one.name}"
                yield from below(one.span.span_id, depth + 1)

    return list(below(b"", 0))


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Collect on a free port until the end of the block."""
    collector = Collector()
    server = aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(0)


def _plain(attributes: Sequence[KeyValue]) -> dict[str, str]:
    """Return attributes as text, whatever their type."""
    return {
        pair.key: str(getattr(pair.value, pair.value.WhichOneof("value") or "string_value"))
        for pair in attributes
    }
