"""Servers to be measured, each a process of its own."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property


class Server:
    """A server process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @cached_property
    def address(self) -> str:
        """Where to call it; it is waited for when this is first asked."""
        if self._process.stdout is None:
            raise RuntimeError("no pipe")
        return f"127.0.0.1:{int(self._process.stdout.readline())}"


@contextmanager
def started(
    module: str,
    arguments: Sequence[str],
    variables: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> Iterator[Server]:
    """Run a module that writes its port, and serves until its standard input ends.

    ``variables`` are its environment, by default ours.
    """
    with subprocess.Popen(  # noqa: S603
        [python, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=variables,
    ) as process:
        yield Server(process)
