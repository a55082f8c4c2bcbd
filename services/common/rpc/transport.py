"""The two ways to serve gRPC, behind one seam: an ``aio.Server`` bound to an address.

``grpcio`` is gRPC's own server. ``native`` is pygrpc-native, whose HTTP/2 work runs outside the
GIL; it serves one plaintext port, and takes the same servicers.
"""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, Final, cast
from urllib.parse import unquote

from grpc import aio

from services.common.rpc import grpcio
from services.common.rpc.grpcio import GrpcioServer
from services.common.tls import TlsFiles

MAX_REQUEST_BYTES: Final = 64 * 1024
"""The largest request of all methods; a method may take less (``Service.max_bytes``)."""
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # grpcio refuses compressed requests (UNIMPLEMENTED): it would unpack them before it knows their
    # size. For pygrpc-native this holds for streams alone.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)
_LAST_CALLS_MS: Final = 10_000  # of a connection that has reached its age; no call takes so long


_KEPT_BY_NATIVE: Final = frozenset({"grpc-retry-pushback-ms"})
NATIVE_INSTALLED: Final = importlib.util.find_spec("pygrpc_native") is not None


class Transport(StrEnum):
    """What serves; ``auto`` is native where it is installed and can do what is asked."""

    AUTO = "auto"
    NATIVE = "native"
    GRPCIO = "grpcio"


class CannotServeError(Exception):
    """The address cannot be had, or the transport cannot do what is asked."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how to serve. ``shared`` lets several processes serve one port.

    A client is asked to connect anew after ``max_connection_age_s`` seconds, give or take a tenth;
    with 0 never.
    """

    address: str
    transport: Transport = Transport.AUTO
    tls: TlsFiles | None = None
    shared: bool = False
    max_connection_age_s: float = 0.0


def chosen_transport(endpoint: Endpoint, *, native_installed: bool = NATIVE_INSTALLED) -> Transport:
    """Return the transport that will serve. Raises ``CannotServeError`` when none can."""
    if endpoint.transport is Transport.NATIVE:
        if endpoint.tls is not None:
            raise CannotServeError("SHOP_TRANSPORT=native serves no TLS: use grpcio or auto")
        if endpoint.max_connection_age_s:
            raise CannotServeError(
                "SHOP_TRANSPORT=native knows no SHOP_MAX_CONNECTION_AGE_S: use grpcio or auto"
            )
        if not native_installed:
            raise CannotServeError("SHOP_TRANSPORT=native needs the package pygrpc-native")
    if endpoint.transport is Transport.AUTO:
        native = native_installed and endpoint.tls is None and not endpoint.max_connection_age_s
        return Transport.NATIVE if native else Transport.GRPCIO
    return endpoint.transport


def open_server(endpoint: Endpoint) -> tuple[aio.Server, int]:
    """Return a server bound to the endpoint and not started, and its port.

    Raises ``CannotServeError`` when the endpoint cannot be had.
    """
    # Unless the port is meant to be shared, a second server on it must fail.
    shared = ("grpc.so_reuseport", int(endpoint.shared))
    server = _make(chosen_transport(endpoint), (*_OPTIONS, shared, *_age_options(endpoint)))
    try:
        if endpoint.tls is None:
            port = server.add_insecure_port(endpoint.address)
        else:
            port = server.add_secure_port(endpoint.address, endpoint.tls.server_credentials())
    except RuntimeError:
        raise CannotServeError(
            f"cannot listen on {endpoint.address}: is it in use? Is SHOP_BIND_HOST of this host?"
        ) from None
    return server, port


def _age_options(endpoint: Endpoint) -> tuple[tuple[str, int], ...]:
    if not endpoint.max_connection_age_s:
        return ()
    return (
        ("grpc.max_connection_age_ms", int(endpoint.max_connection_age_s * 1000)),
        ("grpc.max_connection_age_grace_ms", _LAST_CALLS_MS),
    )


def _make(transport: Transport, options: tuple[tuple[str, Any], ...]) -> aio.Server:
    if transport is Transport.GRPCIO:
        # Its stubs do not say that the library's server is an aio.Server.
        return cast("aio.Server", GrpcioServer((*options, *grpcio.OPTIONS)))
    from services.common.rpc.native import OPTIONS, NativeServer  # of an optional package

    return NativeServer(options=(*options, *OPTIONS))


def raw_metadata(carrier: Any) -> Iterable[tuple[str, Any]]:
    """Return what the client sent beside its request, in pairs, as cheaply as it can be had.

    pygrpc-native has it as it arrived, and makes named tuples of it whenever it is asked.
    """
    try:
        metadata: Iterable[tuple[str, Any]] = carrier._call.metadata  # noqa: SLF001
    except AttributeError:
        return carrier.invocation_metadata() or ()
    return metadata


def client_network(context: aio.ServicerContext[Any, Any]) -> str:
    """Return the network that a call comes from: an IPv4 address, or an IPv6 network of /64.

    Whoever has one IPv6 address has 2^64 of them. It is empty where there is no address: on a Unix
    socket. grpcio escapes the brackets' contents, and pygrpc-native tells IPv4 within IPv6.
    """
    host = unquote(context.peer()).partition(":")[2].rpartition(":")[0]
    try:
        address = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ip_network((address, 64), strict=False))


def sendable(
    context: aio.ServicerContext[Any, Any], trailing: tuple[tuple[str, str | bytes], ...]
) -> tuple[tuple[str, str | bytes], ...]:
    """Return the trailing metadata without what the transport of this call refuses to send.

    pygrpc-native keeps all ``grpc-`` keys but that of the details to itself, the delay to retry
    after among them, and would leave the client without any answer; the details hold it too.
    """
    if not type(context).__module__.startswith("pygrpc_native"):
        return trailing
    return tuple(pair for pair in trailing if pair[0] not in _KEPT_BY_NATIVE)
