"""A way to a server over which what passes can be heard, held up or broken off."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

from services.stack.ports import LOOPBACK

CHUNK: Final = 65_536

Way = Callable[[StreamReader, StreamWriter], Coroutine[Any, Any, None]]


async def passed_on(reader: StreamReader, writer: StreamWriter) -> None:
    """Pass on what comes until it ends."""
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()


@dataclass(frozen=True, slots=True)
class Line:
    """What passes over one connection: what is asked, and what is answered."""

    there: Way = passed_on
    back: Way = passed_on


class Relay:
    """Listens on a free port of loopback, and gives each connection one to ``upstream``.

    ``line`` is asked for the ways of each, and refuses it with an ``OSError``. When a way is over,
    also with an error, so is the connection; what was written to the client still arrives.
    Upstream sees ``source`` as the client's address, if one is given.
    """

    def __init__(
        self,
        upstream: tuple[str, int],
        line: Callable[[], Line] = Line,
        source: str | None = None,
    ) -> None:
        self.upstream = upstream
        self.port = 0
        self._from = None if source is None else (source, 0)
        self._line = line
        self._connections: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Accept connections until the end of the block; all are broken off then."""
        server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await self.break_off()

    async def break_off(self) -> None:
        """Break all connections off, and wait until they are."""
        broken = list(self._connections)
        for connection in broken:
            connection.cancel()
        await asyncio.gather(*broken, return_exceptions=True)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        connection = asyncio.get_running_loop().create_task(self._connect(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

        def aborted(done: asyncio.Task[None]) -> None:
            if done.cancelled():  # perhaps before it began
                writer.transport.abort()

        connection.add_done_callback(aborted)

    async def _connect(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            line = self._line()
            up_reader, up_writer = await asyncio.open_connection(
                *self.upstream, local_addr=self._from
            )
        except OSError:
            writer.transport.abort()
            return
        ways = [
            asyncio.create_task(line.there(reader, up_writer)),
            asyncio.create_task(line.back(up_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            up_writer.transport.abort()
        writer.close()
