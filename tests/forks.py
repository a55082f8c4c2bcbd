"""Short lives of the services' commands, each a process of its own, forked from one for all.

Most of what such a process costs is imports. ``python -m tests.forks`` makes them once, has no
thread and no loop, and forks for each command that it is asked to run.
"""

import asyncio
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

PRELOADED: Final = (
    "services.common.entrypoint",
    "services.inventory.bootstrap",
    "services.order.bootstrap",
    "services.user.bootstrap",
)
LIVES_FOR_AT_MOST_S: Final = 120


class Ended(NamedTuple):
    """The exit code of a command, negative if a signal ended it, and what it wrote."""

    code: int
    output: str
    error: str


class Forks:
    """Runs commands one after another."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()
        self._numbers = count()

    async def run(self, environment: Mapping[str, str], module: str, *words: str) -> Ended:
        """Run ``python -m module words`` to its end, in this environment and no other.

        SIGALRM ends it after two minutes.
        """
        async with self._turn:
            with tempfile.TemporaryDirectory() as name:
                written = [Path(name, "output"), Path(name, "error")]
                asked = [dict(environment), module, *words, *map(str, written)]
                return Ended(await self._code(asked), *_contents(written))

    async def _code(self, asked: Sequence[object]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        number = next(self._numbers)
        self._process.stdin.write(json.dumps([number, *asked]).encode() + b"\n")
        answered, code = -1, 0
        while answered != number:  # one that nobody waited for may be answered first
            answered, code = map(int, (await self._process.stdout.readline()).split())
        return code


def _contents(paths: Sequence[Path]) -> Sequence[str]:
    return [path.read_text() for path in paths]


@asynccontextmanager
async def forking() -> AsyncIterator[Forks]:
    """Run the process that forks until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.forks", stdin=PIPE, stdout=PIPE
    )
    try:
        yield Forks(process)
    finally:
        process.kill()
        await process.communicate()


def _serve() -> None:
    for module in PRELOADED:
        importlib.import_module(module)
    gc.freeze()  # else each that ends looks for garbage among all that was imported
    for line in sys.stdin.buffer:
        number, *asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(*asked)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{number} {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _become(environment: dict[str, str], module: str, *rest: str) -> None:
    """Run the command in this process, to the end of both."""
    *words, output, error = rest
    signal.alarm(LIVES_FOR_AT_MOST_S)
    for number, path in enumerate([os.devnull, output, error]):
        opened = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    _serve()
