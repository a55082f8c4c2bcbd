"""Processes of this machine that generate load for a master, as other machines may."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from loadtests import PROJECT
from loadtests.ports import LOOPBACK
from loadtests.worker import command, environment

_STOP_WITHIN_S: Final = 20.0


@contextmanager
def running_workers(count: int, port: int) -> Iterator[Callable[[], bool]]:
    """Run so many workers of the master at the port until the end of the block.

    What the block is given tells whether one of them has ended.
    """
    processes = [
        subprocess.Popen(  # noqa: S603 (our own command line)
            command(f"{LOOPBACK}:{port}"),
            cwd=PROJECT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # Ctrl-C in a terminal ends the run, and the run ends its workers.
            start_new_session=True,
        )
        for _ in range(count)
    ]
    try:
        yield lambda: any(process.poll() is not None for process in processes)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
