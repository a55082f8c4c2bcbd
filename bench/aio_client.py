"""A closed loop of ``grpc.aio`` calls, for what they cost the process that makes them.

``python -m bench.aio_client <address> <method> <calls>`` reads the message from its standard input
and writes the CPU time of all calls, in seconds.
"""

import asyncio
import sys
import time
from typing import Any, Final

import uvloop
from grpc import aio

from services.common.rpc.channel_options import DIRECT

_AT_ONCE: Final = 64
_WARMING: Final = 16
_LIMIT_S: Final = 60.0


async def _cpu_s(address: str, name: str, message: bytes, calls: int) -> float:
    async with aio.insecure_channel(address, options=DIRECT) as channel:
        method: Any = channel.unary_unary(name)
        left = iter(range(calls))

        async def caller() -> None:
            for _ in left:
                await method(message, timeout=_LIMIT_S)

        await asyncio.gather(*(method(message, timeout=_LIMIT_S) for _ in range(_WARMING)))
        begun = time.process_time()
        await asyncio.gather(*(caller() for _ in range(_AT_ONCE)))
        return time.process_time() - begun


if __name__ == "__main__":
    _, where, what, number = sys.argv
    spent = uvloop.run(_cpu_s(where, what, sys.stdin.buffer.read(), int(number)))
    sys.stdout.write(f"{spent}")
