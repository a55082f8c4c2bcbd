"""A Redis that is still loading, for as long as it runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_END = b"\r\n"
_ANSWER = b"-LOADING Redis is loading the dataset in memory\r\n"


@asynccontextmanager
async def loading_redis() -> AsyncIterator[int]:
    """Answer every command that it cannot be served yet; the block is given the port."""
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                for _ in range(await _number(reader)):
                    await reader.readexactly(await _number(reader) + len(_END))
                writer.write(_ANSWER)
                await writer.drain()
    finally:
        writer.transport.abort()


async def _number(reader: asyncio.StreamReader) -> int:
    """Read how many arguments, or bytes, follow."""
    return int((await reader.readuntil(_END))[1:])
