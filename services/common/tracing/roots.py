"""Which traces are begun in this process."""

from random import random
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context


class Roots:
    """Begins traces for a share of what belongs to none.

    All the rest is done in one and the same trace that nobody ever sees, here and in the services
    that are called: making a new one each time would be most of what a call costs that is not
    traced.
    """

    def __init__(self, sample_ratio: float) -> None:
        self._sample_ratio = sample_ratio
        ids = RandomIdGenerator()
        unseen = SpanContext(
            ids.generate_trace_id(),
            ids.generate_span_id(),
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.DEFAULT),
        )
        self.unseen: Final = set_span_in_context(NonRecordingSpan(unseen), Context())

    def begins(self) -> bool:
        """Say whether a trace shall be begun now."""
        return random() < self._sample_ratio  # noqa: S311 (nothing secret)
