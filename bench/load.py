"""Calls to a server from another process."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import orjson

from bench.h2 import CONNECTIONS
from bench.hpack import Metadata

AT_ONCE: Final = 64


class CallsFailedError(RuntimeError):
    """Not every call of a run brought its answer."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which method of which server to call, with what messages and what metadata, in turn."""

    address: str
    method: str
    messages: Sequence[bytes]
    metadata: Sequence[Metadata] = ((),)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the calls of a run took in all, in seconds, and where their answers came from.

    ``client_cpu_s`` is what they cost the process that made them; ``sources`` counts what they
    said in ``x-cache``, the ages left out, and ``none`` for nothing.
    """

    calls: int
    seconds: float
    client_cpu_s: float
    sources: Counter[str]


class Driver:
    """A process that makes the calls of one target, from where the last run ended."""

    def __init__(self, process: subprocess.Popen[bytes], target: Target) -> None:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        self._said, self._heard = process.stdin, process.stdout
        self._say(orjson.dumps(_plan(target)))

    def make(self, calls: int, at_once: int = AT_ONCE) -> Outcome:
        """Make so many calls, over four connections. ``at_once`` is a multiple of that.

        Raises ``CallsFailedError`` unless each brings its answer.
        """
        self._say(b"%d %d" % (calls, at_once // CONNECTIONS))
        answer = orjson.loads(self._heard.readline() or b'{"error": "the client has ended"}')
        if "error" in answer:
            raise CallsFailedError(answer["error"])
        return Outcome(calls, answer["seconds"], answer["cpu_s"], Counter(answer["sources"]))

    def _say(self, line: bytes) -> None:
        self._said.write(line + b"\n")
        self._said.flush()


@contextmanager
def driving(target: Target) -> Iterator[Driver]:
    """Run a process that calls the target."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.h2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Driver(process, target)


def _plan(target: Target) -> dict[str, object]:
    return {
        "address": target.address,
        "method": target.method,
        "messages": [message.hex() for message in target.messages],
        "metadata": target.metadata,
    }
