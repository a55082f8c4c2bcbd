"""Spans of the commands that MongoDB is asked."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

from opentelemetry.semconv.attributes.db_attributes import (
    DB_COLLECTION_NAME,
    DB_NAMESPACE,
    DB_OPERATION_BATCH_SIZE,
    DB_OPERATION_NAME,
    DB_QUERY_TEXT,
    DB_RESPONSE_STATUS_CODE,
    DB_SYSTEM_NAME,
)
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.trace import Span, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from services.common.tracing.shape import shape_text
from services.common.tracing.waiting import store_span

_SEVERAL: Final = ("documents", "updates", "deletes")


class TracedCommands(CommandListener):
    """Makes each command that somebody waits for a span: what it is like, and none of its values.

    The drivers tell the beginning and the end of a command in one and the same context, be it a
    task's or that of a thread which works for one; a command that is cancelled has no end.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._asked: ContextVar[Span | None] = ContextVar("asked", default=None)

    def started(self, event: CommandStartedEvent) -> None:
        """Begin a span."""
        collection = _collection(event.command_name, event.command)
        name = f"{event.command_name} {collection or event.database_name}"
        span = store_span(self._tracer, name, {DB_SYSTEM_NAME: "mongodb"})
        self._asked.set(span)
        if span is not None:
            span.set_attributes(_attributes(event, collection))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """End the span."""
        span = self._asked.get()
        if span is not None:
            span.end()

    def failed(self, event: CommandFailedEvent) -> None:
        """End the span with what went wrong, in a word: messages quote values."""
        span = self._asked.get()
        if span is None:
            return
        code = event.failure.get("code")
        if code is not None:
            span.set_attribute(DB_RESPONSE_STATUS_CODE, str(code))
        kind = event.failure.get("codeName") or event.failure.get("errtype") or "failed"
        span.set_attribute(ERROR_TYPE, str(kind))
        span.set_status(StatusCode.ERROR)
        span.end()


def _collection(name: str, command: Mapping[str, Any]) -> str:
    asked = command.get("collection" if name == "getMore" else name)
    return asked if isinstance(asked, str) else ""


def _attributes(event: CommandStartedEvent, collection: str) -> dict[str, AttributeValue]:
    command = event.command
    address, port = event.connection_id
    found: dict[str, AttributeValue] = {
        DB_NAMESPACE: event.database_name,
        DB_OPERATION_NAME: event.command_name,
        SERVER_ADDRESS: address,
    }
    if port is not None:
        found[SERVER_PORT] = port
    if collection:
        found[DB_COLLECTION_NAME] = collection
    for several in _SEVERAL:
        if several in command and len(command[several]) > 1:
            found[DB_OPERATION_BATCH_SIZE] = len(command[several])
    text = shape_text(command)
    if text:
        found[DB_QUERY_TEXT] = text
    return found
