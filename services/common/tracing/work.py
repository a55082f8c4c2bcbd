"""Spans of work beside the calls."""

from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import StatusCode, Tracer, use_span

from services.common.background import Work


async def traced_work(tracer: Tracer, name: str, work: Work) -> None:
    """Do the work as a span: part of the call that asked for it, or a trace of its own."""
    span = tracer.start_span(name)
    with use_span(span, record_exception=False, set_status_on_exception=False):
        try:
            await work
        except BaseException as error:
            span.set_attribute(ERROR_TYPE, type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            span.end()
