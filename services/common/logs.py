"""Structured logs: JSON for machines, coloured lines for a person at a terminal."""

import logging
import sys
from collections.abc import Sequence
from enum import StrEnum

import structlog
from structlog.typing import EventDict, Processor

from services.common.call import current_call


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


def configure_logs(
    service: str, level: LogLevel, log_format: LogFormat, more: Sequence[Processor] = ()
) -> None:
    """Send this process's logs to standard error, each line with service and request id.

    ``more`` add to the lines what they know.
    """

    def add_origin(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        event.setdefault("request_id", current_call().request_id)
        return event

    pretty = log_format is LogFormat.PRETTY or (
        log_format is LogFormat.AUTO and sys.stderr.isatty()
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
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*chain, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _route_standard_logging(number, chain, ending)


def _route_standard_logging(level: int, chain: list[Processor], ending: list[Processor]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
