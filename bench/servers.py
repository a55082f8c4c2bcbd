"""Servers to be measured, each a process of its own."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its process and where to call it."""

    pid: int
    address: str


@contextmanager
def started(module: str, arguments: Sequence[str]) -> Iterator[Server]:
    """Run a module that writes its port, and serves until its standard input ends."""
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        port = int(process.stdout.readline())
        yield Server(process.pid, f"127.0.0.1:{port}")
        process.stdin.close()
