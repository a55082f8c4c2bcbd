"""Spans kept in memory, for tests to look at."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, Tracer, use_span


class Spans:
    """A tracer, and the spans that have ended."""

    def __init__(self, sample_ratio: float = 1.0) -> None:
        self._memory = InMemorySpanExporter()
        provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample_ratio)), shutdown_on_exit=False
        )
        provider.add_span_processor(SimpleSpanProcessor(self._memory))
        self.tracer: Tracer = provider.get_tracer("tests")

    @property
    def ended(self) -> list[ReadableSpan]:
        """The spans that have ended, in this order."""
        return list(self._memory.get_finished_spans())

    @property
    def only(self) -> ReadableSpan:
        """The one span that has ended."""
        (span,) = self.ended
        return span

    @contextmanager
    def asking(self, name: str = "asker") -> Iterator[Span]:
        """Be in a span until the end of the block; it is left open, and so not among the ended."""
        span = self.tracer.start_span(name)
        with use_span(span, end_on_exit=False):
            yield span


def parent_id(span: ReadableSpan) -> int:
    """Return the id of a span's parent; 0 if it has none."""
    return 0 if span.parent is None else span.parent.span_id


def id_of(span: Span) -> int:
    """Return the id of a span."""
    return span.get_span_context().span_id


def linked_ids(span: ReadableSpan) -> list[int]:
    """Return the ids of the spans that a span is linked to."""
    return [link.context.span_id for link in span.links]
