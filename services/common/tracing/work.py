"""Spans of work beside the calls."""

from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import StatusCode, Tracer, get_current_span, use_span

from services.common.background import Work
from services.common.tracing.roots import Roots


async def traced_work(tracer: Tracer, roots: Roots, name: str, work: Work) -> None:
    """Do the work as a span: part of the call that asked for it, or perhaps a trace of its own."""
    if get_current_span().get_span_context().is_valid or roots.begins():
        span = tracer.start_span(name)
    else:
        span = get_current_span(roots.unseen)
    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            await work
        except BaseException as error:
            span.set_attribute(ERROR_TYPE, type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise
