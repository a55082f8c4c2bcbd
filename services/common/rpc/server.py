"""Serving one gRPC service until it is told to stop."""

import asyncio
import gc
import os
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
from grpc import aio
from grpc_health.v1 import health_pb2

from services.common.background import repeating
from services.common.logs import flush_logs
from services.common.rpc.chain import Chain
from services.common.rpc.compose import compose
from services.common.rpc.health import HealthReporter
from services.common.rpc.listener import stop_listening
from services.common.rpc.reflection import enable_reflection
from services.common.rpc.registration import register
from services.common.rpc.service import Service
from services.common.rpc.transport import Endpoint, Transport, chosen_transport, open_server

_COLLECT_AFTER: Final = (50_000, 20, 100)
_DRAIN_POLL_S: Final = 0.01
_WRITING_S: Final = 0.1
_TAKING_S: Final = 0.1
_LAST_STREAMS_S: Final = 0.2  # streams that watch the health end with the server
_LIBRARY_S: Final = 2.0
_LAST_RESORT_S: Final = 4.8  # after the drain: background work and traces have 4.5 s of them
_PROBE_INTERVAL_S: Final = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where a server listens and how it behaves.

    Told to stop, it says NOT_SERVING for ``drain_notice_s`` seconds before it refuses calls, so
    that callers who heed that have gone elsewhere by then.
    """

    endpoint: Endpoint
    reflection: bool
    drain_timeout_s: float
    drain_notice_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RpcServer:
    """A gRPC server for one service, with health and, if wanted, reflection."""

    service: Service
    chain: Chain
    health: HealthReporter
    options: ServerOptions

    async def serve(self) -> None:
        """Serve until SIGTERM or SIGINT, then let the calls in flight finish, within a bound.

        Raises ``CannotServeError`` when the address cannot be had.
        """
        stop = _stop_signal()
        endpoint = self.options.endpoint
        transport = chosen_transport(endpoint)
        server, port = open_server(endpoint)
        self._add_services(server)
        self.health.begin()
        await server.start()
        log.info("listening", address=endpoint.address, transport=transport)
        async with repeating("health", self.health.refresh, _PROBE_INTERVAL_S):
            _settle_memory()
            await stop.wait()
            _end_process_within(
                self.options.drain_notice_s + self.options.drain_timeout_s + _LAST_RESORT_S
            )
            log.info("draining", timeout_s=self.options.drain_timeout_s)
            self.health.stop_serving()
        await asyncio.sleep(self.options.drain_notice_s)
        await self._drain(server, transport, port)
        log.info("stopped")

    async def _drain(self, server: aio.Server, transport: Transport, port: int) -> None:
        """Wait until all calls have ended and their answers are on the wire, within the bound."""
        drain_timeout_s = self.options.drain_timeout_s
        last_s = asyncio.get_running_loop().time() + drain_timeout_s + _LIBRARY_S
        self.chain.refuse_new_calls()
        stopping: asyncio.Task[None] | None = None
        if transport is Transport.NATIVE:
            stop_listening(port)
        else:
            stopping = await self._begin_to_stop(server)
        with suppress(TimeoutError):
            async with asyncio.timeout(drain_timeout_s):
                while self.chain.in_flight:  # noqa: ASYNC110 (an event would cost every call)
                    await asyncio.sleep(_DRAIN_POLL_S)
        self.health.servicer.end_watches()
        if stopping is None:
            # pygrpc-native goes on accepting connections until it closes them all, which it does
            # as soon as the handlers have returned, sometimes before the last answers are written.
            await asyncio.sleep(_WRITING_S)
            self.chain.refuse_kept_calls()
            stopping = asyncio.create_task(server.stop(_LAST_STREAMS_S))
        left_s = last_s - asyncio.get_running_loop().time()
        if not (await asyncio.wait({stopping}, timeout=max(left_s, _LIBRARY_S)))[0]:
            log.warning("the server does not stop: its connections end with the process")

    async def _begin_to_stop(self, server: aio.Server) -> "asyncio.Task[None]":
        """Tell the clients of a grpcio server to go, and refuse what has arrived already.

        A grpcio server that stops ends the calls which it has not taken yet with CANCELLED.
        """
        await asyncio.sleep(_TAKING_S)
        stopping = asyncio.create_task(server.stop(self.options.drain_timeout_s))
        await asyncio.sleep(0)  # the clients are told to go
        self.chain.refuse_kept_calls()
        return stopping

    def _add_services(self, server: aio.Server) -> None:
        descriptor = self.service.descriptor
        composed = compose(self.service.servicer, descriptor, self.chain.interceptors)
        register(composed, descriptor, server, self.service.max_bytes)
        self.health.servicer.serve_on(server)
        if self.options.reflection:
            names = (
                descriptor.full_name,
                health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
            )
            enable_reflection(server, names)


def _settle_memory() -> None:
    """Look for garbage rarely, and not at what lives as long as the process.

    Calls leave next to nothing that only the collector could free.
    """
    gc.set_threshold(*_COLLECT_AFTER)
    gc.freeze()


def _end_process_within(seconds: float) -> None:
    """End the process by force if it has not ended by then, whatever its event loop waits for."""

    def end() -> None:
        log.error("the process does not stop: it is ended by force", after_s=seconds)
        flush_logs()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
