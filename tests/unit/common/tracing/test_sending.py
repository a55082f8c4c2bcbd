import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from services.common.settings import UnusableSettingsError
from services.common.tracing import provider
from services.common.tracing.provider import (
    _EXPORTERS_LOG,
    Traces,
    _otlp_exporter,
    _TellingExporter,
)
from services.common.tracing.roots import Roots
from services.common.tracing.work import traced_work
from tests.patience import PATIENCE_S
from tests.spans import Spans, id_of, parent_id

ENDS_WITHIN_S = 20.0  # without a bound it would take the SDK's 30 s


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, there is time to send the rest."""
    monkeypatch.setattr(provider, "_SEND_THE_REST_S", PATIENCE_S)


class Silent(SpanExporter):
    """Sends for ever, until it is shut down."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def export(self, _spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.ended.wait(60)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.ended.set()


class Moody(SpanExporter):
    """Takes spans or does not, as it is told."""

    def __init__(self, *moods: SpanExportResult) -> None:
        self._moods = iter(moods)

    def export(self, _spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return next(self._moods)


@pytest.mark.usefixtures("patience")
async def test_at_the_end_the_rest_is_sent() -> None:
    memory = InMemorySpanExporter()
    traces = Traces("user", memory)
    traces.tracer.start_span("last").end()
    await traces.close()
    (span,) = memory.get_finished_spans()
    assert span.name == "last"


async def test_at_the_end_a_silent_collector_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "_SEND_THE_REST_S", 0.1)
    silent = Silent()
    traces = Traces("user", silent)
    traces.tracer.start_span("last").end()
    began = time.monotonic()
    await traces.close()
    assert time.monotonic() - began < ENDS_WITHIN_S
    assert silent.ended.is_set()


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "shop-user"),
        ({"OTEL_SERVICE_NAME": "mine"}, "mine"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=theirs,team=blue"}, "theirs"),
    ],
)
async def test_a_process_is_called_as_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    memory = InMemorySpanExporter()
    traces = Traces("user", memory)
    traces.tracer.start_span("span").end()
    await traces.close()
    (span,) = memory.get_finished_spans()
    assert span.resource.attributes["service.name"] == name
    assert span.resource.attributes["service.namespace"] == "shop"
    assert span.resource.attributes.get("team") == ("blue" if "team" in str(variables) else None)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),  # less than a batch
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "0"),
    ],
)
def test_a_queue_that_cannot_be_is_refused_and_the_kind_of_variable_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UnusableSettingsError, match=r"OTEL_BSP_\*: "):
        Traces("user", InMemorySpanExporter())


def test_of_a_certificate_that_is_not_there_the_log_tells_and_of_batches_that_are_lost_it_does_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    missing = tmp_path / "ca.pem"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(missing))
    _EXPORTERS_LOG.setLevel(logging.NOTSET)  # as in a process that has just begun
    _otlp_exporter().shutdown()
    assert str(missing) in caplog.text
    assert not _EXPORTERS_LOG.isEnabledFor(logging.ERROR)


def test_that_spans_are_lost_is_said_once_and_that_they_arrive_again_too() -> None:
    bad, good = SpanExportResult.FAILURE, SpanExportResult.SUCCESS
    exporter = _TellingExporter(Moody(good, bad, bad, bad, good, good))
    spans = Spans()
    spans.tracer.start_span("one").end()
    with capture_logs() as logs:
        for _ in range(6):
            exporter.export(spans.ended)
    assert [line["event"] for line in logs] == ["traces are lost", "traces arrive again"]
    assert logs[1]["spans_lost"] == 3


async def test_work_beside_the_calls_is_a_span_of_the_call_that_asked_for_it_or_a_trace(
    spans: Spans,
) -> None:
    async def work() -> None:
        spans.tracer.start_span("within").end()

    with spans.asking() as asker:
        await traced_work(spans.tracer, Roots(0), "settle", work())
    await traced_work(spans.tracer, Roots(1), "reconcile", work())
    await traced_work(spans.tracer, Roots(0), "reconcile unseen", work())
    within, settle, also_within, reconcile = spans.ended
    assert (settle.name, parent_id(settle)) == ("settle", id_of(asker))
    assert (reconcile.name, parent_id(reconcile)) == ("reconcile", 0)
    assert settle.context is not None
    assert reconcile.context is not None
    assert parent_id(within) == settle.context.span_id
    assert parent_id(also_within) == reconcile.context.span_id


async def test_work_that_fails_says_how_and_not_why(spans: Spans) -> None:
    async def work() -> None:
        raise ValueError("names somebody")

    with pytest.raises(ValueError, match="names somebody"):
        await traced_work(spans.tracer, Roots(1), "settle", work())
    assert spans.only.attributes == {"error.type": "ValueError"}
    assert spans.only.status.description is None
    assert not spans.only.events
