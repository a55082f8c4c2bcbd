"""Structured logs: JSON for machines, coloured lines for a person at a terminal.

Lines are rendered where they are logged, and written by a thread. Of one event and level, 50 lines
a second are written and the others counted, since strangers can cause any number; at level
``debug`` this holds for the lines of libraries alone.
"""

import atexit
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import structlog
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from structlog.typing import EventDict, Processor

from services.common.call import current_call
from services.common.log_writer import LineLimit, LogWriter

_FLUSH_WITHIN_S: Final = 1.0
_LONGEST: Final = 4_000
_STANDARD_ERROR: Final = 2


class LogFormat(StrEnum):
    """How log lines look; ``auto`` is pretty on a terminal and JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    PRETTY = "pretty"


class LogLevel(StrEnum):
    """The least important lines that are written; ``debug`` includes every served call."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_writer: LogWriter | None = None


def configure_logs(
    service: str, level: LogLevel, log_format: LogFormat, more: Sequence[Processor] = ()
) -> None:
    """Send this process's logs to standard error, each line with service and request id.

    ``more`` add to the lines what they know.
    """
    global _writer  # noqa: PLW0603 (there is one standard error)

    def add_origin(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        event.setdefault("request_id", current_call().known_request_id)
        return event

    pretty = log_format is LogFormat.PRETTY or (
        log_format is LogFormat.AUTO and sys.stderr is not None and sys.stderr.isatty()
    )
    chain: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_origin,
        *more,
    ]
    ending: list[Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if pretty
        else [
            structlog.processors.format_exc_info,
            _shorten,
            structlog.processors.JSONRenderer(),
        ]
    )

    def report(counts: Mapping[str, int]) -> str:
        rendered: Any = {"event": "log lines dropped", **counts}
        for processor in (*chain, *ending):
            rendered = processor(None, "warning", rendered)
        return str(rendered)

    number = logging.getLevelNamesMapping()[level.upper()]
    _writer = LogWriter(_standard_error(), report)
    atexit.register(_writer.flush, _FLUSH_WITHIN_S)
    lines, limit = _Lines(_writer), LineLimit()
    limited: list[Processor] = [] if level is LogLevel.DEBUG else [_limiting(limit, _writer)]
    structlog.configure(
        processors=[*limited, *chain, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    handler = _StandardHandler(_writer, limit)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def flush_logs() -> None:
    """Wait until what was logged is written, for 1 s at most."""
    if _writer is not None:
        _writer.flush(_FLUSH_WITHIN_S)


class LogMetrics(Collector):
    """How many log lines were not written."""

    def collect(self) -> Iterable[Metric]:
        """Return the samples of this moment."""
        dropped = CounterMetricFamily(
            "shop_log_lines_dropped",
            "Log lines that were not written: too many of one event in a second (limit), "
            "a reader that is too slow (queue) or gone (unwritable).",
            labels=("reason",),
        )
        for reason in ("limit", "queue", "unwritable"):
            dropped.add_metric((reason,), 0 if _writer is None else _writer.dropped[reason])
        yield dropped


class _Lines:
    """What structlog hands rendered lines to, by level."""

    def __init__(self, writer: LogWriter) -> None:
        def of(*, important: bool) -> Callable[[str], None]:
            return lambda line: writer.put(line, important=important)

        self.debug = self.info = self.msg = of(important=False)
        self.warning = self.warn = of(important=True)
        self.error = self.err = self.exception = self.critical = self.fatal = self.warning


class _StandardHandler(logging.Handler):
    """Writes the lines of libraries. They are limited as ours are."""

    def __init__(self, writer: LogWriter, limit: LineLimit) -> None:
        super().__init__()
        self._writer = writer
        self._limit = limit

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line."""
        if not self._limit.allows(f"{record.name} {record.msg}", record.levelname):
            self._writer.count_dropped("limit")
            return
        try:
            self._writer.put(self.format(record), important=True)
        except Exception:  # noqa: BLE001 (of what a library logged)
            self.handleError(record)


def _limiting(limit: LineLimit, writer: LogWriter) -> Processor:
    def check(_logger: object, method: str, event: EventDict) -> EventDict:
        if not limit.allows(event["event"], method):
            writer.count_dropped("limit")
            raise structlog.DropEvent
        return event

    return check


def _shorten(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Keep the beginning and the end of a long text, which a client may have chosen."""
    for key, value in event.items():
        if isinstance(value, str) and len(value) > _LONGEST:
            half = _LONGEST // 2
            event[key] = f"{value[:half]} ... {value[-half:]}"
    return event


def _standard_error() -> int:
    """Return its descriptor; a closed one leads nowhere, before a socket gets its number."""
    if sys.stderr is not None:
        return sys.stderr.fileno()
    while (nowhere := os.open(os.devnull, os.O_WRONLY)) < _STANDARD_ERROR:
        pass  # those before it are closed as well
    return nowhere
