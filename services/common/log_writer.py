"""Writing log lines beside the event loop, within bounds."""

import os
import select
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic
from typing import Final

QUEUE_BYTES: Final = 2 * 1024 * 1024
_REPORT_EVERY_S: Final = 1.0
_TRY_AGAIN_S: Final = 0.05


class LogWriter:
    """A thread that writes lines to a descriptor, from a queue that has an end.

    A line that finds no room is dropped and counted: a reader that stands still delays nobody.
    Lines that are not ``important`` get half of the room. The line that ``report`` makes of the
    counts, by reason, follows as soon as something can be written again.
    """

    def __init__(
        self,
        descriptor: int,
        report: Callable[[Mapping[str, int]], str],
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        self._descriptor = descriptor
        self._report = report
        self._queue_bytes = queue_bytes
        self._ready = threading.Condition()
        self._lines: list[bytes] = []
        self._held_bytes = 0
        self._unreported: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        threading.Thread(target=self._write_lines, name="log-writer", daemon=True).start()

    def put(self, line: str, *, important: bool) -> None:
        """Queue a line, or drop it."""
        encoded = f"{line}\n".encode(errors="backslashreplace")
        room = self._queue_bytes if important else self._queue_bytes // 2
        with self._ready:
            if self._held_bytes + len(encoded) > room:
                self.count_dropped("queue")
                return
            self._hold(encoded)

    def count_dropped(self, reason: str, lines: int = 1) -> None:
        """Count lines that are not written."""
        with self._ready:
            self.dropped[reason] += lines
            self._unreported[reason] += lines
            self._ready.notify_all()

    def flush(self, within_s: float) -> None:
        """Wait until all lines are written, for so long at most."""
        with self._ready:
            self._hold_report()
            self._ready.wait_for(lambda: not self._held_bytes, within_s)

    def _hold(self, encoded: bytes) -> None:
        self._lines.append(encoded)
        self._held_bytes += len(encoded)
        self._ready.notify_all()

    def _hold_report(self) -> None:
        if self._unreported:
            self._hold(f"{self._report(self._unreported)}\n".encode())
            self._unreported = Counter()

    def _write_lines(self) -> None:
        reported = monotonic()
        while True:
            with self._ready:
                while not self._lines:
                    if self._unreported and monotonic() - reported >= _REPORT_EVERY_S:
                        self._hold_report()
                        reported = monotonic()
                    else:
                        self._ready.wait(_REPORT_EVERY_S if self._unreported else None)
                lines, self._lines = self._lines, []
            for some in _joined(lines):
                self._write(some)
                with self._ready:
                    self._held_bytes -= len(some)
                    self._ready.notify_all()

    def _write(self, lines: bytes) -> None:
        while lines:
            try:
                lines = lines[os.write(self._descriptor, lines) :]
            except BlockingIOError:
                time.sleep(_TRY_AGAIN_S)
            except OSError:  # nobody reads any longer
                self.count_dropped("unwritable", lines.count(b"\n"))
                return


def _joined(lines: Sequence[bytes]) -> Iterator[bytes]:
    """Yield lines together, as many as other processes cannot write into (pipe(7))."""
    together = b""
    for line in lines:
        if together and len(together) + len(line) > select.PIPE_BUF:
            yield together
            together = b""
        together += line
    yield together


class LineLimit:
    """At most so many lines of an event and level in a second; strangers can cause any number."""

    LINES: Final = 50
    _EVENTS: Final = 200

    def __init__(self) -> None:
        self._second = 0
        self._counts: dict[tuple[object, str] | None, int] = {}

    def allows(self, event: object, level: str) -> bool:
        """Whether one more line may be written; beyond 200 events, all others count as one."""
        second = int(monotonic())
        if second != self._second:
            self._second = second
            self._counts.clear()
        key = (event, level) if len(self._counts) < self._EVENTS else None
        count = self._counts[key] = self._counts.get(key, 0) + 1
        return count <= self.LINES
