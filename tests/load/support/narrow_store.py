"""A way to MongoDB that lets a few queries through at a time, and takes its time over each."""

import asyncio
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from pymongo.uri_parser import parse_uri

_LENGTH_BYTES = 4


class NarrowStore:
    """Passes MongoDB's messages on; those that hold ``slow`` wait for one of ``width`` places.

    Each occupies its place for ``seconds``: together they are served at width / seconds.
    """

    def __init__(self, uri: str, slow: bytes, width: int, seconds: float) -> None:
        host, port = parse_uri(uri)["nodelist"][0]
        self._upstream = (host, port or 27017)
        self._slow = slow
        self._places = asyncio.Semaphore(width)
        self._seconds = seconds
        self._links: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def uri(self) -> str:
        """How to reach MongoDB through it."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["NarrowStore"]:
        """Listen on a free port until the end."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            links = list(self._links)
            for link in links:
                link.cancel()
            await asyncio.gather(*links, return_exceptions=True)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        link = asyncio.get_running_loop().create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: StreamReader, writer: StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        ways = (self._ask(reader, up_writer), self._answer(up_reader, writer))
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            writer.transport.abort()
            up_writer.transport.abort()

    async def _ask(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError, IncompleteReadError):
            while True:
                length = await reader.readexactly(_LENGTH_BYTES)
                rest = await reader.readexactly(int.from_bytes(length, "little") - _LENGTH_BYTES)
                if self._slow in rest:
                    async with self._places:
                        await asyncio.sleep(self._seconds)
                writer.write(length + rest)

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
