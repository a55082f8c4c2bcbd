"""Which spans wait for what is being done: one in a call, perhaps several in a round trip."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

Waiting = Sequence[SpanContext]

round_trip: Final[ContextVar[Mapping[Hashable, Waiting] | None]] = ContextVar(
    "round_trip", default=None
)
"""In a round trip that several may have asked for: who waits for each of its keys."""


def who_waits() -> Waiting:
    """Return the spans that wait for what is done here, who came first first; none if none do.

    Only what is being recorded waits: a span that is over, or not sampled, does not.
    """
    asked = round_trip.get()
    if asked is not None:
        return distinct(asked.values())
    current = get_current_span()
    return (current.get_span_context(),) if current.is_recording() else ()


def who_waits_for(keys: Iterable[Hashable]) -> Waiting:
    """Return the spans that wait for these keys; if the round trip knows none of them, all."""
    asked = round_trip.get() or {}
    known = [asked[key] for key in keys if key in asked]
    return distinct(known) if known else who_waits()


def distinct(waiting: Iterable[Waiting]) -> Waiting:
    """Return each span once, in the order in which they come."""
    return tuple({span.span_id: span for some in waiting for span in some}.values())


def store_span(tracer: Tracer, name: str, attributes: Mapping[str, AttributeValue]) -> Span | None:
    """Begin a span for a question to a store, below the first who waits and linked to the others.

    There is none if nobody waits whose call is traced.
    """
    waiting = who_waits()
    if not waiting:
        return None
    first, *others = waiting
    return tracer.start_span(
        name,
        set_span_in_context(NonRecordingSpan(first), Context()),
        SpanKind.CLIENT,
        attributes,
        [Link(other) for other in others],
    )
