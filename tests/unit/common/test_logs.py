"""What a line of the log looks like, and where it goes."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from services.common import log_writer
from services.common.call import Call, enter_call
from services.common.log_writer import LineLimit
from services.common.logs import LogFormat, LogLevel, LogMetrics, configure_logs, flush_logs

PIPE_BYTES = 65_536


class Screen:
    """Standard error: a file; a terminal, if it is told to be one."""

    terminal = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")

    def fileno(self) -> int:
        return self._file.fileno()

    def isatty(self) -> bool:
        return self.terminal

    def text(self) -> str:
        flush_logs()
        return self._path.read_text()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]


@pytest.fixture
def logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # those of pytest must not be closed
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lead_to(standard_error: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.common.logs.sys", SimpleNamespace(stderr=standard_error))


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logging_restored: None) -> Screen:
    screen = Screen(tmp_path / "stderr")
    lead_to(screen, monkeypatch)
    return screen


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
    text = screen.text()
    assert "hello" in text
    assert ("json" if text.startswith("{") else "pretty") == looks


def test_what_is_less_important_than_the_level_is_not_written(screen: Screen) -> None:
    configure_logs("order", LogLevel.WARNING, LogFormat.JSON)
    structlog.get_logger().info("hello")
    assert not screen.text()


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


# ---- what clients and readers can do to it


class Grpcio:
    """The context of a call whose metadata is no text: grpcio logs whenever it reads it."""

    def invocation_metadata(self) -> list[tuple[str, str]]:
        try:
            b"\xff".decode()
        except UnicodeDecodeError:
            logging.getLogger("grpc._cython.cygrpc").exception("Invalid encoding on %s", b"\xff")
        return [("x-request-id", "r-1")]


def test_a_line_reads_no_metadata_which_may_be_logged_while_it_is_read(screen: Screen) -> None:
    configure_logs("order", LogLevel.INFO, LogFormat.JSON)
    call = Call(carrier=Grpcio())

    def serve() -> None:
        enter_call(call)
        structlog.get_logger().info("before")
        assert call.request_id == "r-1"
        structlog.get_logger().info("after")

    copy_context().run(serve)
    lines = [(line["event"], line["request_id"]) for line in screen.lines()]
    assert lines == [("before", "-"), ("Invalid encoding on b'\\xff'", "-"), ("after", "r-1")]


def test_a_text_that_a_client_may_have_chosen_is_shortened(screen: Screen) -> None:
    configure_logs("order", LogLevel.INFO, LogFormat.JSON)
    logging.getLogger("library").error("odd: %s", "x" * 100_000 + "end")
    (line,) = screen.lines()
    assert len(line["event"]) < 5_000
    assert line["event"].startswith("odd: ")
    assert line["event"].endswith("end")


def test_of_one_event_and_level_some_lines_a_second_are_written_and_the_others_counted(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 10.0
    monkeypatch.setattr(log_writer, "monotonic", lambda: now)
    configure_logs("order", LogLevel.INFO, LogFormat.JSON)
    log, library = structlog.get_logger(), logging.getLogger("library")
    for _ in range(LineLimit.LINES + 7):
        log.info("call")
        library.error("trouble with %s", "it")
    log.error("call")
    log.info("other")
    now = 11.0
    log.info("call")
    events = [line["event"] for line in screen.lines()]
    assert events.count("call") == LineLimit.LINES + 2
    assert events.count("trouble with it") == LineLimit.LINES
    assert "other" in events
    (told,) = [line for line in screen.lines() if line["event"] == "log lines dropped"]
    assert (told["limit"], told["level"], told["service"]) == (14, "warning", "order")


def test_at_level_debug_no_line_of_ours_is_left_out(screen: Screen) -> None:
    configure_logs("order", LogLevel.DEBUG, LogFormat.JSON)
    for _ in range(LineLimit.LINES * 2):
        structlog.get_logger().debug("call")
    assert len(screen.lines()) == LineLimit.LINES * 2


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch, logging_restored: None) -> Iterator[int]:
    """Standard error as a pipe; what reads it is yielded."""
    reader, writer = os.pipe()
    lead_to(SimpleNamespace(fileno=lambda: writer, isatty=lambda: False), monkeypatch)
    configure_logs("order", LogLevel.DEBUG, LogFormat.JSON)
    yield reader
    os.close(reader)


def dropped() -> dict[str, float]:
    (family,) = LogMetrics().collect()
    return {sample.labels["reason"]: sample.value for sample in family.samples}


def read_until(reader: int, found: Callable[[bytes], bool]) -> list[dict[str, Any]]:
    said = b""
    while not (said.endswith(b"\n") and found(said)):
        said += os.read(reader, PIPE_BYTES)
    return [json.loads(line) for line in said.splitlines()]


def test_a_reader_that_stands_still_delays_nobody_and_loses_the_least_important_lines(
    pipe: int,
) -> None:
    log, text = structlog.get_logger(), "x" * 1_000
    lines = 2 * (log_writer.QUEUE_BYTES + PIPE_BYTES) // len(text)
    for _ in range(lines):
        log.info("stranger", text=text)
    log.error("ours", text=text * 2)
    lost = dropped()["queue"]
    assert lines // 4 < lost < lines

    said = read_until(pipe, lambda said: b"log lines dropped" in said)
    events = [line["event"] for line in said]
    assert events.count("ours") == 1
    assert events.count("stranger") == lines - lost
    assert said[-1]["queue"] == lost


def test_a_reader_that_has_gone_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, logging_restored: None
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    lead_to(SimpleNamespace(fileno=lambda: writer, isatty=lambda: False), monkeypatch)
    configure_logs("order", LogLevel.INFO, LogFormat.JSON)
    structlog.get_logger().info("unheard")
    flush_logs()
    assert dropped()["unwritable"] >= 1


def run(program: str, redirected: str = "") -> "subprocess.CompletedProcess[bytes]":
    """Run a program that logs, with standard error as the shell redirects it."""
    head = "import os, structlog; from services.common.logs import *"
    start = "configure_logs('order', LogLevel.DEBUG, LogFormat.JSON); log = structlog.get_logger()"
    command = f'exec "$0" -c "$1" {redirected}'
    return subprocess.run(  # noqa: S603 (this program)
        ["/bin/sh", "-c", command, sys.executable, f"{head}\n{start}\n{program}"],
        check=False,
        capture_output=True,
        timeout=50,
    )


def test_what_was_logged_is_written_before_a_process_ends() -> None:
    ended = run("for _ in range(1000): log.info('line')")
    assert ended.stderr.count(b"line") == 1_000


def test_with_standard_error_closed_no_connection_gets_the_lines() -> None:
    ended = run("log.info('line'); print(os.readlink('/proc/self/fd/2'))", redirected="2>&-")
    assert (ended.returncode, ended.stdout.strip()) == (0, b"/dev/null")
