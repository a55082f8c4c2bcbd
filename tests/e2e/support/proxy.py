"""A TCP proxy between a service and its store, which a test can cut, hold, slow or lead astray."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK = 65_536

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Passes bytes both ways until it is told otherwise."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cut = False
        self._links: set[asyncio.Task[None]] = set()
        self.delay_s = 0.0
        """How long each part of an answer is kept back, in seconds."""
        self.break_after: int | None = None
        """After how many bytes of answers a connection breaks; None for never."""

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def hold(self) -> None:
        """Keep connections, and keep back what is sent over them."""
        self._flowing.clear()

    def release(self) -> None:
        """Let flow again."""
        self._flowing.set()

    async def lead_to(self, host: str, port: int) -> None:
        """Break all connections, and lead new ones to another server."""
        self._upstream = (host, port)
        await self._break()

    async def cut(self) -> None:
        """Break all connections, and each new one at once."""
        self._cut = True
        await self._break()

    async def _break(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def mend(self) -> None:
        """Accept connections again."""
        self._cut = False

    async def open(self) -> None:
        """Begin to listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def close(self) -> None:
        """Break all connections and stop listening."""
        await self.cut()
        if self._server is not None:
            self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        link = asyncio.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        link.add_done_callback(lambda _: writer.transport.abort())

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            return
        await self._both_ways((reader, writer), (up_reader, up_writer))

    async def _both_ways(self, client: _Streams, server: _Streams) -> None:
        ways = [
            asyncio.create_task(self._pass(client[0], server[1])),
            asyncio.create_task(self._pass_answers(server[0], client[1])),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            server[1].transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()

    async def _pass_answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        passed = 0
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await asyncio.sleep(self.delay_s)
                await self._flowing.wait()
                if self.break_after is not None and passed + len(data) > self.break_after:
                    writer.write(data[: max(self.break_after - passed, 0)])
                    await writer.drain()
                    return
                passed += len(data)
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def opened_proxy(host: str, port: int) -> AsyncIterator[Proxy]:
    """Run a proxy to a server."""
    proxy = Proxy(host, port)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
