"""Serving one gRPC service until it is told to stop."""

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_interceptor.server import AsyncServerInterceptor
from grpc_reflection.v1alpha import reflection

from services.common.auth.tokens import TokenVerifier
from services.common.background import repeating
from services.common.rpc.access import AccessTable
from services.common.rpc.compose import compose
from services.common.rpc.health import HealthReporter
from services.common.rpc.interceptors.authorization import AuthorizationInterceptor
from services.common.rpc.interceptors.deadline import DeadlineInterceptor
from services.common.rpc.interceptors.error_mapping import ErrorMappingInterceptor, Translate
from services.common.rpc.interceptors.request_log import RequestLogInterceptor

_PROBE_INTERVAL_S: Final = 1.0
_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share it
    ("grpc.max_receive_message_length", 1024 * 1024),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)

log = structlog.get_logger()


class CannotListenError(Exception):
    """The port is taken or may not be used."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where a server listens and how it behaves."""

    address: str
    reflection: bool
    drain_timeout_s: float


@dataclass(frozen=True, slots=True)
class Service:
    """One gRPC service: its contract, its handler and the rules of its methods."""

    descriptor: ServiceDescriptor
    servicer: object
    register: Callable[[Any, Any], None]
    access: AccessTable
    max_s: Mapping[str, float]


def interceptors(
    service: Service, verifier: TokenVerifier, translate: Translate
) -> Sequence[AsyncServerInterceptor]:
    """Return what happens around every call of the service, outermost first."""
    return (
        RequestLogInterceptor(),
        ErrorMappingInterceptor(service.descriptor.file.package, translate),
        DeadlineInterceptor(service.max_s),
        AuthorizationInterceptor(service.access, verifier),
    )


@dataclass(frozen=True, slots=True)
class RpcServer:
    """A gRPC server for one service, with health and, if wanted, reflection."""

    service: Service
    chain: Sequence[AsyncServerInterceptor]
    health: HealthReporter
    options: ServerOptions

    async def serve(self) -> None:
        """Serve until SIGTERM or SIGINT, then let the calls in flight finish, within a bound.

        Raises ``CannotListenError`` when the address cannot be had.
        """
        stop = _stop_signal()
        server = aio.server(options=_OPTIONS)
        self._add_services(server)
        try:
            server.add_insecure_port(self.options.address)
        except RuntimeError:
            raise CannotListenError(
                f"cannot listen on {self.options.address}: is it in use?"
            ) from None
        await self.health.begin()
        await server.start()
        log.info("listening", address=self.options.address)
        async with repeating("health", self.health.refresh, _PROBE_INTERVAL_S):
            await stop.wait()
        log.info("draining", timeout_s=self.options.drain_timeout_s)
        await self.health.stop_serving()
        await server.stop(self.options.drain_timeout_s)
        log.info("stopped")

    def _add_services(self, server: aio.Server) -> None:
        descriptor = self.service.descriptor
        self.service.register(compose(self.service.servicer, descriptor, self.chain), server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health.servicer, server)
        if self.options.reflection:
            names = (
                descriptor.full_name,
                health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
                reflection.SERVICE_NAME,
            )
            reflection.enable_server_reflection(names, server)


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
