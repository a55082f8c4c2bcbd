"""Giving a process's figures to Prometheus."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
    start_http_server,
)

_WRITE_WITHIN_S = 1.0


class CannotExposeError(Exception):
    """The port for the figures cannot be had."""


def new_registry() -> CollectorRegistry:
    """Return a registry with the figures of the process itself."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


@asynccontextmanager
async def exposed_over_http(
    registry: CollectorRegistry, host: str, port: int
) -> AsyncIterator[None]:
    """Serve the figures at ``http://host:port/metrics`` until the end.

    Raises ``CannotExposeError`` when the port cannot be had.
    """
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise CannotExposeError(
            f"cannot serve metrics on {host}:{port}: {error.strerror}"
        ) from None
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()


@asynccontextmanager
async def exposed_at_socket(registry: CollectorRegistry, path: Path) -> AsyncIterator[None]:
    """Write the figures to whoever connects to a Unix socket: the supervisor of the workers."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(generate_latest(registry))
            async with asyncio.timeout(_WRITE_WITHIN_S):
                await writer.drain()
        except (TimeoutError, ConnectionError):
            pass  # whoever asked has gone; it will ask again
        finally:
            writer.close()

    server = await asyncio.start_unix_server(answer, path)
    try:
        yield
    finally:
        server.close()
