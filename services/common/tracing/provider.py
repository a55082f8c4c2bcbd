"""Where spans come from and where they go: the SDK, within bounds."""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Sequence
from typing import Final

import structlog
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import DEFAULT_ON
from opentelemetry.semconv._incubating.attributes.service_attributes import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_NAMESPACE,
)
from opentelemetry.trace import Tracer

from services.common.rpc.channel_options import DIRECT
from services.common.settings import UnusableSettingsError

_SEND_THE_REST_S: Final = 1.0  # a supervisor's patience is 5 s, of which background work has 3
_GIVE_UP_S: Final = 0.5
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTERS_LOG: Final = logging.getLogger("opentelemetry.exporter.otlp")

log = structlog.get_logger()


class Traces:
    """The spans of this process, sent by a thread of its own from a queue that has an end.

    Spans that find no room, or that the collector does not take in time, are lost.
    """

    def __init__(self, service: str, exporter: SpanExporter | None = None) -> None:
        """Raise ``UnusableSettingsError`` for ``OTEL_*`` variables that cannot be used."""
        self._exporter = _TellingExporter(exporter or _otlp_exporter())
        self._processor = _queue_before(self._exporter)
        provider = TracerProvider(
            sampler=DEFAULT_ON,  # whatever belongs to a trace; which are begun, Roots decides
            resource=_resource(service),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._processor)
        self.tracer: Tracer = provider.get_tracer("shop")

    async def close(self) -> None:
        """Send what is left, for at most 1 s; give up within half a second more."""
        closing = threading.Thread(target=self._processor.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, _SEND_THE_REST_S)
        self._exporter.shutdown()  # ends what is still being sent
        await asyncio.to_thread(closing.join, _GIVE_UP_S)


class _TellingExporter(SpanExporter):
    """Says once that spans are being lost, and once that they arrive again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            if not self._lost:
                log.warning("traces are lost", reason="the collector does not take them")
            self._lost += len(spans)
        elif self._lost:
            log.info("traces arrive again", spans_lost=self._lost)
            self._lost = 0
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()


def _otlp_exporter() -> SpanExporter:
    """Return an exporter as the ``OTEL_EXPORTER_OTLP_*`` variables describe it."""
    for name in _PROTOCOLS:
        if os.environ.get(name, "grpc") != "grpc":
            raise UnusableSettingsError(f"{name}: only grpc is spoken")
    try:
        exporter = OTLPSpanExporter(channel_options=DIRECT)  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001 (the library raises what it pleases)
        raise UnusableSettingsError(f"OTEL_EXPORTER_OTLP_*: {error}") from None
    # It would write several lines for every batch that the collector does not take. What it says
    # before, as of a certificate that is not there, is heard.
    _EXPORTERS_LOG.setLevel(logging.CRITICAL + 1)
    return exporter


def _queue_before(exporter: SpanExporter) -> BatchSpanProcessor:
    """Return what sends spans in batches as the ``OTEL_BSP_*`` variables describe it."""
    try:
        return BatchSpanProcessor(exporter)
    except ValueError as error:
        raise UnusableSettingsError(f"OTEL_BSP_*: {error}") from None


def _resource(service: str) -> Resource:
    """Return what is said of the process with every span; the environment has the last word."""
    ours = {
        SERVICE_NAME: f"shop-{service}",
        SERVICE_NAMESPACE: "shop",
        SERVICE_INSTANCE_ID: f"{socket.gethostname()}-{os.getpid()}",
    }
    said = OTELResourceDetector().detect().attributes
    return Resource.create({name: value for name, value in ours.items() if name not in said})
