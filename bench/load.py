"""A closed loop of unary calls from another process.

With ``h2load`` (nghttp2-client) the client is a C program that hardly limits the server;
without it, a grpc.aio process stands in, and throughput says more about the client.
"""

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop
from grpc import aio

CONNECTIONS: Final = 4
CALLS_PER_CONNECTION: Final = 16
_LIMIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """Which method of which server to call, and with what message."""

    address: str
    method: str
    message: bytes


def client_name() -> str:
    """Return what makes the calls."""
    return "h2load" if shutil.which("h2load") else "grpc.aio"


def drive(target: Target, calls: int) -> float:
    """Make so many calls, 64 at a time, and return how long they took, in seconds.

    Raises ``RuntimeError`` if any of them failed.
    """
    if shutil.which("h2load"):
        return _drive_h2load(target, calls)
    command = [sys.executable, "-m", "bench.load", target.address, target.method, str(calls)]
    done = subprocess.run(  # noqa: S603
        command, input=target.message, capture_output=True, check=True, timeout=_LIMIT_S
    )
    return float(done.stdout.split()[0])


def _drive_h2load(target: Target, calls: int) -> float:
    frame = b"\0" + len(target.message).to_bytes(4, "big") + target.message
    with tempfile.NamedTemporaryFile() as body:
        Path(body.name).write_bytes(frame)
        command = [
            "h2load",
            *("-n", str(calls), "-c", str(CONNECTIONS), "-m", str(CALLS_PER_CONNECTION)),
            *("-d", body.name, "-H", "content-type: application/grpc", "-H", "te: trailers"),
            f"http://{target.address}{target.method}",
        ]
        started = time.perf_counter()
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=True, timeout=_LIMIT_S
        )
        elapsed = time.perf_counter() - started
    if not re.search(rf"\b{calls} succeeded, 0 failed", done.stdout):
        raise RuntimeError(f"calls failed:\n{done.stdout}")
    return elapsed


async def _drive_aio(target: Target, calls: int) -> tuple[float, float]:
    """Make the calls and return how long they took and the CPU time they cost, in seconds."""
    async with aio.insecure_channel(target.address) as channel:
        method: Any = channel.unary_unary(target.method)
        left = iter(range(calls))

        async def caller() -> None:
            for _ in left:
                await method(target.message, timeout=_LIMIT_S)

        await asyncio.gather(*(method(target.message) for _ in range(CALLS_PER_CONNECTION)))
        started, begun = time.perf_counter(), time.process_time()
        await asyncio.gather(*(caller() for _ in range(CONNECTIONS * CALLS_PER_CONNECTION)))
        return time.perf_counter() - started, time.process_time() - begun


if __name__ == "__main__":
    _, address, method, number = sys.argv
    goal = Target(address, method, sys.stdin.buffer.read())
    elapsed_s, cpu_s = uvloop.run(_drive_aio(goal, int(number)))
    sys.stdout.write(f"{elapsed_s} {cpu_s}")
