"""``python -m loadtests worker``: generate load for a master on another machine."""

import os
import signal
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Final

from loadtests import PROJECT
from loadtests.plan import address

MASTER_PORT: Final = 5557

_DESCRIPTION: Final = """\
Generate load for a master, from when it is there until it has what it wants. What is to be done
comes from the master; SHOP_LOAD_PASSWORD and SHOP_ADMIN_PASSWORD are read here.
"""


def command(master: str) -> list[str]:
    """Return the command line of a worker of the master at ``host:port``."""
    host, _, port = master.rpartition(":")
    return [
        *(sys.executable, "-m", "locust", "-f", str(PROJECT / "loadtests/locustfile.py")),
        *("--worker", "--master-host", host, "--master-port", port),
        *("--loglevel", "WARNING"),
    ]


def environment() -> Mapping[str, str]:
    """Return the environment of a worker."""
    return {**os.environ, "PYTHONPATH": str(PROJECT)}


def main(argv: Sequence[str]) -> int:
    """Work until the master has ended and return the exit code: 0 if that was in order."""
    parser = ArgumentParser(
        prog="python -m loadtests worker", description=_DESCRIPTION, allow_abbrev=False
    )
    parser.add_argument(
        "--master",
        type=_master,
        required=True,
        metavar="HOST[:PORT]",
        help=f"where the master is (port {MASTER_PORT})",
    )
    master = parser.parse_args(argv).master
    process = subprocess.Popen(command(master), env=environment())  # noqa: S603 (our own)
    # While it looks for its master, Locust has no handler; as a container's first process it
    # would not end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: process.terminate())
    sys.stderr.write(f"working for the master at {master}\n")
    code = process.wait()
    return code if code >= 0 else 128 - code


def _master(text: str) -> str:
    return address(text if ":" in text else f"{text}:{MASTER_PORT}")
