"""What a line of the log looks like, and where it goes."""

import io
import json
import logging
from collections.abc import Iterator
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from services.common.call import Call, enter_call
from services.common.logs import LogFormat, LogLevel, configure_logs


class Screen(io.StringIO):
    """Where standard error goes; a terminal, if it is told to be one."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    screen, root = Screen(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # those of pytest must not be closed
    monkeypatch.setattr("services.common.logs.sys", SimpleNamespace(stderr=screen))
    yield screen
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_json_with_level_time_service_and_request_id(screen: Screen) -> None:
    configure_logs("order", LogLevel.INFO, LogFormat.AUTO)
    log = structlog.get_logger()
    log.info("outside")

    def serve() -> None:
        enter_call(Call(request_id="r-1"))
        log.warning("inside", order_id="7")

    copy_context().run(serve)
    outside, inside = screen.lines()
    assert outside.pop("timestamp").endswith("Z")
    assert outside == {
        "event": "outside",
        "level": "info",
        "service": "order",
        "request_id": "-",
    }
    assert (inside["level"], inside["request_id"], inside["order_id"]) == ("warning", "r-1", "7")


@pytest.mark.parametrize(
    ("log_format", "goes_to", "looks"),
    [
        (LogFormat.AUTO, "terminal", "pretty"),
        (LogFormat.AUTO, "file", "json"),
        (LogFormat.PRETTY, "file", "pretty"),
        (LogFormat.JSON, "terminal", "json"),
    ],
)
def test_a_line_is_pretty_on_a_terminal_or_where_that_is_wanted(
    screen: Screen, log_format: LogFormat, goes_to: str, looks: str
) -> None:
    screen.terminal = goes_to == "terminal"
    configure_logs("order", LogLevel.INFO, log_format)
    structlog.get_logger().info("hello")
    assert "hello" in screen.getvalue()
    assert ("json" if screen.getvalue().startswith("{") else "pretty") == looks


def test_what_is_less_important_than_the_level_is_not_written(screen: Screen) -> None:
    configure_logs("order", LogLevel.WARNING, LogFormat.JSON)
    structlog.get_logger().info("hello")
    assert not screen.getvalue()


def test_an_exception_is_part_of_its_line(screen: Screen) -> None:
    configure_logs("order", LogLevel.INFO, LogFormat.JSON)
    structlog.get_logger().error("failed", exc_info=ValueError("why"))
    (line,) = screen.lines()
    assert "ValueError: why" in line["exception"]


def test_what_libraries_log_looks_the_same_from_warnings_on(screen: Screen) -> None:
    configure_logs("order", LogLevel.DEBUG, LogFormat.JSON)
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("trouble with %s", "it")
    (line,) = screen.lines()
    assert (line["event"], line["level"]) == ("trouble with it", "warning")
    assert line["service"] == "order"
