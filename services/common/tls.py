"""Certificates for servers and for the channels between services."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc


class UnusableCertificateError(Exception):
    """A certificate or key file cannot be read or used."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A certificate chain and its key in PEM, and the authority that peers are checked against.

    With ``client_ca``, servers accept only clients with a certificate of that authority
    (mutual TLS), and channels accept only servers with one. Without it, channels accept only
    servers with this very certificate.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return what a server proves itself with, and whom it accepts."""
        self._check()
        authority = None if self.client_ca is None else _read(self.client_ca)
        return grpc.ssl_server_credentials(
            [(_read(self.key), _read(self.cert))],
            root_certificates=authority,
            require_client_auth=authority is not None,
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Return what a channel proves itself with, and whom it accepts."""
        self._check()
        if self.client_ca is None:
            return grpc.ssl_channel_credentials(root_certificates=_read(self.cert))
        return grpc.ssl_channel_credentials(
            root_certificates=_read(self.client_ca),
            private_key=_read(self.key),
            certificate_chain=_read(self.cert),
        )

    def _check(self) -> None:
        """Raise for what gRPC would take and then fail every handshake with."""
        for path in filter(None, (self.cert, self.key, self.client_ca)):
            _read(path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.cert, self.key, password=_refuse_password)
        except (ssl.SSLError, ValueError):
            raise UnusableCertificateError(
                f"{self.cert} and {self.key} are not a PEM certificate and its unencrypted key"
            ) from None
        if self.client_ca is not None:
            try:
                context.load_verify_locations(self.client_ca)
            except ssl.SSLError:
                raise UnusableCertificateError(
                    f"{self.client_ca} is not a PEM certificate"
                ) from None


def _refuse_password() -> str:
    raise ValueError("the key is encrypted")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableCertificateError(f"{path} cannot be read: {error.strerror}") from None
