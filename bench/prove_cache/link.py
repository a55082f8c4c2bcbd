"""A way to Redis that can break: connections end in the middle of a reply.

``python -m bench.prove_cache.link <port of Redis>`` is such a way in a process of its own, so that
nothing else delays it. It writes its port, and follows the lines ``break`` and ``mend`` on
standard input until that ends, each answered with a line.
"""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import uvloop

from services.stack.ports import LOOPBACK

BREAK: Final = "break"
MEND: Final = "mend"
_CHUNK: Final = 65_536


class Link:
    """Passes bytes both ways; while it is broken, half a reply and then nothing."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._broken = False
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    def break_replies(self) -> None:
        """End each connection in the middle of its next reply."""
        self._broken = True

    def mend(self) -> None:
        """Pass replies whole again; connections that had no reply to lose end too."""
        self._broken = False
        for connection in self._connections:
            connection.cancel()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Link"]:
        """Listen on a free port until the end."""
        server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.mend()
            await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        connection = asyncio.get_running_loop().create_task(self._connect(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _connect(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(LOOPBACK, self._upstream)
        except OSError:
            writer.transport.abort()
            return
        ways = [
            asyncio.create_task(self._ask(reader, up_writer)),
            asyncio.create_task(self._answer(up_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.close()  # what was written of a broken reply still arrives
            up_writer.transport.abort()

    @staticmethod
    async def _ask(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                writer.write(data)
                await writer.drain()

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
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
            orders[line.strip()]()
            _tell("done")


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
