"""Child processes: started with a log file, watched, and stopped within a bound."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from services.stack import tether
from services.stack.errors import ChildEndedError

STOP_WITHIN_S: Final = 15.0
_LAST_LINES: Final = 12
_LINE_CHARS: Final = 300
_BLAME_WITHIN_S: Final = 1.0

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Child:
    """A running process and where it writes its log."""

    name: str
    process: Process
    log: Path

    async def ended(self) -> ChildEndedError:
        """Wait until the process ends by itself and return what there is to say about it."""
        code = await self.process.wait()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return ChildEndedError(f"{self.name} {how}. {await self.last_words()}")

    async def last_words(self) -> str:
        """Return the end of its log, and where the rest is."""
        lines = await asyncio.to_thread(_last_lines, self.log)
        return f"The end of {self.log}:\n{lines}"

    async def stop(self, within_s: float = STOP_WITHIN_S) -> None:
        """Ask the process to end, and after ``within_s`` seconds make it."""
        try:
            self._send(signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self.process.wait()
        finally:
            self._send(signal.SIGKILL)
        await self.process.wait()

    def _send(self, number: signal.Signals) -> None:
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)


@asynccontextmanager
async def running(
    name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Child]:
    """Run a command until the end of the block; its output starts the log anew.

    It runs in a session of its own, so that Ctrl-C in a terminal reaches it only through the
    stack, and on Linux it ends when the process that started it does.
    """
    with _opened(log) as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-IS",
            tether.__file__,
            str(os.getpid()),
            *command,
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            env=environment,
            start_new_session=True,
            close_fds=False,  # what is inheritable is meant to be: the lock of the data folder
        )
    child = Child(name, process, log)
    try:
        yield child
    finally:
        await child.stop()


async def first_end(children: Iterable[Child]) -> ChildEndedError:
    """Wait until one of the processes ends and return what there is to say about it."""
    ends = [asyncio.create_task(child.ended()) for child in children]
    try:
        if not ends:
            await asyncio.Event().wait()  # nothing can end
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        await _cancelled(*ends)


async def attended(children: Sequence[Child], work: Coroutine[Any, Any, Result]) -> Result:
    """Return what the work returns. Raises ``ChildEndedError`` if a process ends before it."""
    job = asyncio.create_task(work)
    end = asyncio.create_task(first_end(children))
    try:
        await asyncio.wait({job, end}, return_when=asyncio.FIRST_COMPLETED)
        if job.done() and job.exception() is not None:
            await asyncio.wait({end}, timeout=_BLAME_WITHIN_S)  # is that why it failed?
        if end.done():
            raise await end
        return await job
    finally:
        await _cancelled(job, end)


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _opened(log: Path) -> BinaryIO:
    return log.open("wb")


def _last_lines(log: Path) -> str:
    with log.open(errors="replace") as lines:
        return "\n".join(f"  {line.rstrip()[:_LINE_CHARS]}" for line in deque(lines, _LAST_LINES))
