"""A way to Redis that can break: connections end in the middle of a reply.

``python -m bench.prove_cache.link <port of Redis>`` is such a way in a process of its own, so that
nothing else delays it. It writes its port, and follows the lines ``break`` and ``mend`` on
standard input until that ends, each answered with a line.
"""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvloop

from bench.relay import CHUNK, Line, Relay
from services.stack.ports import LOOPBACK

BREAK: Final = "break"
MEND: Final = "mend"


class Link:
    """Passes bytes both ways; while it is broken, half a reply and then nothing."""

    def __init__(self, port: int) -> None:
        self._relay = Relay((LOOPBACK, port), lambda: Line(back=self._answer))
        self._broken = False

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._relay.port

    async def break_replies(self) -> None:
        """End each connection in the middle of its next reply."""
        self._broken = True

    async def mend(self) -> None:
        """Pass replies whole again; connections that had no reply to lose end too."""
        self._broken = False
        await self._relay.break_off()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Link"]:
        """Listen on a free port until the end."""
        async with self._relay.opened():
            yield self

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self._broken:
                writer.write(data[: len(data) // 2])
                return
            writer.write(data)
            await writer.drain()


async def _serve(port: int) -> None:
    async with Link(port).opened() as link:
        _tell(str(link.port))
        orders = {BREAK: link.break_replies, MEND: link.mend}
        while line := await asyncio.to_thread(sys.stdin.readline):
            await orders[line.strip()]()
            _tell("done")


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
