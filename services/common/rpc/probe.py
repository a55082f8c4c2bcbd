"""Asking a server on this host after its health, from another process (grpc.health.v1)."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.addresses import address
from services.common.rpc.channel_options import DIRECT
from services.common.tls import TlsFiles, UnusableCertificateError

_CONNECT_WITHIN_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Server:
    """A server on this host, and which of its services is asked after."""

    host: str
    port: int
    service: str
    tls: TlsFiles | None = None

    @property
    def address(self) -> str:
        """Where it is called."""
        return address(self.host, self.port)

    def listens(self) -> bool:
        """Whether anything listens on the port; what is too busy to accept does."""
        try:
            socket.create_connection((self.host, self.port), _CONNECT_WITHIN_S).close()
        except TimeoutError:
            return True
        except OSError:
            return False
        return True


@contextlib.contextmanager
def asked(server: Server, within_s: float) -> Iterator[Any]:
    """Ask a server and yield the call, which ends within so many seconds.

    Raises ``UnusableCertificateError`` when it cannot be asked for want of a certificate.
    """
    with _channel(server) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
        yield check.future(health_pb2.HealthCheckRequest(service=server.service), timeout=within_s)


def verdict(call: Any) -> str:
    """Wait for the end of a call and return the status: ``SERVING``, or why it is not that."""
    try:
        answer = call.result()
    except grpc.RpcError as error:
        call_error: Any = error
        return f"{call_error.code().name}: {call_error.details()}"
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def _channel(server: Server) -> grpc.Channel:
    if server.tls is None:
        return grpc.insecure_channel(server.address, DIRECT)
    # On this host it is asked for by address; its certificate need only hold its name.
    options = (
        *DIRECT,
        ("grpc.ssl_target_name_override", _name_in(server.tls.cert)),
    )
    return grpc.secure_channel(server.address, server.tls.channel_credentials(), options)


def _name_in(cert: Path) -> str:
    """Return a name that the certificate is good for."""
    try:
        certificate = x509.load_pem_x509_certificate(cert.read_bytes())
        names = _names(certificate)
    except (OSError, ValueError, x509.ExtensionNotFound):
        names = []
    if not names:
        raise UnusableCertificateError(f"{cert} names nobody that it is good for")
    return names[0].replace("*", "any")


def _names(certificate: x509.Certificate) -> list[str]:
    held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = map(str, held.get_values_for_type(x509.IPAddress))
    return [*held.get_values_for_type(x509.DNSName), *addresses]
