"""A way to MongoDB that lets a few queries through at a time, and takes its time over each."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pymongo.uri_parser import parse_uri

from bench.relay import Line, Relay

_LENGTH_BYTES = 4


class NarrowStore:
    """Passes MongoDB's messages on; those that hold ``slow`` wait for one of ``width`` places.

    Each occupies its place for ``seconds``: together they are served at width / seconds.
    """

    def __init__(self, uri: str, slow: bytes, width: int, seconds: float) -> None:
        host, port = parse_uri(uri)["nodelist"][0]
        self._relay = Relay((host, port or 27017), lambda: Line(there=self._ask))
        self._slow = slow
        self._places = asyncio.Semaphore(width)
        self._seconds = seconds

    @property
    def uri(self) -> str:
        """How to reach MongoDB through it."""
        return f"mongodb://127.0.0.1:{self._relay.port}/?directConnection=true"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["NarrowStore"]:
        """Listen on a free port until the end."""
        async with self._relay.opened():
            yield self

    async def _ask(self, reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            length = await reader.readexactly(_LENGTH_BYTES)
            rest = await reader.readexactly(int.from_bytes(length, "little") - _LENGTH_BYTES)
            if self._slow in rest:
                async with self._places:
                    await asyncio.sleep(self._seconds)
            writer.write(length + rest)
