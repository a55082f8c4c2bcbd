"""The current trace in log lines."""

from opentelemetry.trace import format_span_id, format_trace_id, get_current_span
from structlog.typing import EventDict


def add_trace(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Add ``trace_id`` and ``span_id`` to a line that is written for a call that is traced."""
    current = get_current_span().get_span_context()
    if current.trace_flags.sampled:
        event["trace_id"] = format_trace_id(current.trace_id)
        event["span_id"] = format_span_id(current.span_id)
    return event
