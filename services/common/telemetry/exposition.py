"""Giving a process's figures to Prometheus."""

import asyncio
import io
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
    make_wsgi_app,
)
from prometheus_client.exposition import ThreadingWSGIServer

from services.common.addresses import address

_WRITE_WITHIN_S: Final = 1.0
_SILENT_S: Final = 5.0
_CONNECTIONS: Final = 8
_MAKE_ROOM_S: Final = 0.1


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
        server = _PageServer(host, port, registry)
    except OSError as error:
        raise CannotExposeError(
            f"cannot serve metrics on {address(host, port)}: {error.strerror}"
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()


class _Handler(WSGIRequestHandler):
    """Reads one request, and gives up a client that neither sends nor reads for a while."""

    timeout = _SILENT_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the library's name)
        """Log nothing, since anybody may ask for anything."""

    def get_stderr(self) -> Any:
        """Return where the library reports clients that go away."""
        return io.StringIO()


class _PageServer(ThreadingWSGIServer):
    """Prometheus's own server with a bound on its threads: the oldest client makes room."""

    request_queue_size = 128  # with 5, a few silent clients make others wait for seconds

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, *_, address = found[0]
        self._clients: dict[Any, None] = {}
        self._left = threading.Condition()
        super().__init__((str(address[0]), port), _Handler)
        self.set_app(make_wsgi_app(registry))

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a client by a thread of its own."""
        with self._left:
            if len(self._clients) >= _CONNECTIONS:
                with suppress(OSError):  # it has gone by itself
                    next(iter(self._clients)).shutdown(socket.SHUT_RDWR)
                self._left.wait_for(lambda: len(self._clients) < _CONNECTIONS, _MAKE_ROOM_S)
            if len(self._clients) >= _CONNECTIONS:
                super().shutdown_request(request)
                return
            self._clients[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close the connection of a client who is served."""
        super().shutdown_request(request)
        with self._left:
            self._clients.pop(request, None)
            self._left.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore what is wrong with a client."""


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
