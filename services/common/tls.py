"""Certificates for servers and for the channels between services."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

_LEAST_RSA_BITS: Final = 2048
_ACCEPTED_KEYS: Final = "RSA of at least 2048 bits, and EC on the curves P-256 and P-384"
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1)


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
        authority = None if self.client_ca is None else self.client_ca.read_bytes()
        return grpc.ssl_server_credentials(
            [(self.key.read_bytes(), self.cert.read_bytes())],
            root_certificates=authority,
            require_client_auth=authority is not None,
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Return what a channel proves itself with, and whom it accepts."""
        self._check()
        if self.client_ca is None:
            return grpc.ssl_channel_credentials(root_certificates=self.cert.read_bytes())
        return grpc.ssl_channel_credentials(
            root_certificates=self.client_ca.read_bytes(),
            private_key=self.key.read_bytes(),
            certificate_chain=self.cert.read_bytes(),
        )

    def _check(self) -> None:
        """Raise for what gRPC would take and then fail every handshake with."""
        for setting in ("cert", "key", "client_ca"):
            path: Path | None = getattr(self, setting)
            try:
                if path is not None:
                    path.open("rb").close()
            except OSError as error:
                raise UnusableCertificateError(
                    f"SHOP_TLS_{setting.upper()}: {path} cannot be read: {error.strerror}"
                ) from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            leaf = x509.load_pem_x509_certificates(self.cert.read_bytes())[0]
            self._check_leaf(leaf)
            context.load_cert_chain(self.cert, self.key, password=_refuse_password)
        except (ssl.SSLError, ValueError, UnsupportedAlgorithm):
            raise UnusableCertificateError(
                f"SHOP_TLS_CERT, SHOP_TLS_KEY: {self.cert} and {self.key} "
                "are not a PEM certificate and its unencrypted key"
            ) from None
        if self.client_ca is not None:
            try:
                context.load_verify_locations(self.client_ca)
            except ssl.SSLError:
                raise UnusableCertificateError(
                    f"SHOP_TLS_CLIENT_CA: {self.client_ca} is not a PEM certificate"
                ) from None

    def _check_leaf(self, leaf: x509.Certificate) -> None:
        """Raise for a kind of key that gRPC cannot use, and for a certificate out of date."""
        if not _is_accepted(leaf.public_key()):
            raise UnusableCertificateError(
                f"SHOP_TLS_KEY: gRPC cannot serve with the kind of key of {self.cert}; "
                f"it takes {_ACCEPTED_KEYS}"
            )
        begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        if not begins <= datetime.now(UTC) <= ends:
            raise UnusableCertificateError(
                f"SHOP_TLS_CERT: {self.cert} is valid from {begins} to {ends}, not now"
            )


def _is_accepted(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= _LEAST_RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)


def _refuse_password() -> str:
    raise ValueError("the key is encrypted")
