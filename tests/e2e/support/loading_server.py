"""A Redis that is still loading, for as long as it runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_ANSWER = b"-LOADING Redis is loading the dataset in memory\r\n"


@asynccontextmanager
async def loading_server() -> AsyncIterator[int]:
    """Answer every command that it cannot be served yet; the block is given the port."""
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        while arguments := await reader.readline():
            for _ in range(int(arguments[1:])):
                length = int((await reader.readline())[1:])
                await reader.readexactly(length + 2)
            writer.write(_ANSWER)
            await writer.drain()
    writer.close()
