"""Switching traces on, which alone loads OpenTelemetry."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from structlog.typing import Processor

from services.common.instruments import NO_INSTRUMENTS, Instruments
from services.common.settings import UnusableSettingsError
from services.common.tracing.options import TracingMode, TracingOptions


def log_processors(options: TracingOptions) -> Sequence[Processor]:
    """Return what adds the current trace to log lines, if there are traces.

    Raises ``UnusableSettingsError`` when there are to be some and what they need is not installed.
    """
    if options.mode is TracingMode.OFF:
        return ()
    try:
        from services.common.tracing.logs import add_trace
        from services.common.tracing.provider import Traces  # noqa: F401 (is it there?)
    except ImportError as error:
        raise UnusableSettingsError(
            "SHOP_TRACING=otlp needs the extra 'tracing': pip install '.[tracing]'"
            f" ({error.name or error} is missing)"
        ) from None
    return (add_trace,)


@asynccontextmanager
async def open_instruments(service: str, options: TracingOptions) -> AsyncIterator[Instruments]:
    """Trace a service until the end of the block, if it is to be traced, and send what is left.

    Raises ``UnusableSettingsError`` for ``OTEL_*`` variables that cannot be used.
    """
    if options.mode is TracingMode.OFF:
        yield NO_INSTRUMENTS
        return
    from services.common.tracing.assembly import instruments_of
    from services.common.tracing.provider import Traces

    traces = Traces(service)
    try:
        yield instruments_of(traces.tracer, options.sample_ratio)
    finally:
        await traces.close()
