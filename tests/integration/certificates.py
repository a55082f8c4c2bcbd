"""Certificates for one test."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
LOOPBACK = (x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1")))


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, in PEM files."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates, for servers and clients alike."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f"{name} authority")
        self._certificate = (
            _valid(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, SHA256())
        )

    def write(self, folder: Path, name: str) -> Path:
        """Write the certificate of the authority itself."""
        path = folder / f"{name}.ca.pem"
        path.write_bytes(self._certificate.public_bytes(Encoding.PEM))
        return path

    def issue(
        self,
        folder: Path,
        name: str,
        names: Sequence[x509.GeneralName] = LOOPBACK,
        key: PrivateKey | None = None,
        ends_in: timedelta = timedelta(hours=1),
    ) -> Pair:
        """Write a new certificate that is good for these names, and its key."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage(
            [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        )
        certificate = (
            _valid(_named(name), self._name, key.public_key(), ends_in)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, SHA256())
        )
        pair = Pair(folder / f"{name}.pem", folder / f"{name}.key.pem")
        pair.cert.write_bytes(certificate.public_bytes(Encoding.PEM))
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return pair


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _valid(
    subject: x509.Name,
    issuer: x509.Name,
    key: PublicKey,
    ends_in: timedelta = timedelta(hours=1),
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + ends_in)
    )
