"""A TCP proxy between a service and its store, to cut, hold, slow or lead astray what passes."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.relay import CHUNK, Line, Relay


class Proxy:
    """Passes bytes both ways until it is told otherwise."""

    def __init__(self, host: str, port: int) -> None:
        self._relay = Relay((host, port), self._line)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cut = False
        self.delay_s = 0.0
        """How long each part of an answer is kept back, in seconds."""
        self.break_after: int | None = None
        """After how many bytes of answers a connection breaks; None for never."""

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._relay.port

    def hold(self) -> None:
        """Keep connections, and keep back what is sent over them."""
        self._flowing.clear()

    def release(self) -> None:
        """Let flow again."""
        self._flowing.set()

    async def lead_to(self, host: str, port: int) -> None:
        """Break all connections, and lead new ones to another server."""
        self._relay.upstream = (host, port)
        await self._relay.break_off()

    async def cut(self) -> None:
        """Break all connections, and each new one at once."""
        self._cut = True
        await self._relay.break_off()

    def mend(self) -> None:
        """Accept connections again."""
        self._cut = False

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Proxy"]:
        """Listen on a free port until the end."""
        async with self._relay.opened():
            yield self

    def _line(self) -> Line:
        if self._cut:
            raise ConnectionAbortedError
        return Line(self._pass, self._pass_answers)

    async def _pass(self, reader: StreamReader, writer: StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()

    async def _pass_answers(self, reader: StreamReader, writer: StreamWriter) -> None:
        passed = 0
        while data := await reader.read(CHUNK):
            await asyncio.sleep(self.delay_s)
            await self._flowing.wait()
            if self.break_after is not None and passed + len(data) > self.break_after:
                writer.write(data[: max(self.break_after - passed, 0)])
                return
            passed += len(data)
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def opened_proxy(host: str, port: int) -> AsyncIterator[Proxy]:
    """Run a proxy to a server."""
    async with Proxy(host, port).opened() as proxy:
        yield proxy
