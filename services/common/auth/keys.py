"""Ed25519 keys: private ones that sign tokens, and the public ones that are trusted."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class UnusableKeyError(Exception):
    """A key file is missing, weak or not what it should be."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the key id that its tokens carry."""

    key_id: str
    private: Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key and the one issuer whose tokens it may prove."""

    issuer: str
    public: Ed25519PublicKey


def load_signing_key(path: Path) -> SigningKey:
    """Read an Ed25519 private key in PEM (PKCS #8).

    Raises ``UnusableKeyError`` for a missing file or any other kind of key.
    """
    return parse_signing_key(read_key_file(path), path)


def load_trusted_keys(path: Path) -> Mapping[str, TrustedKey]:
    """Read a JSON Web Key Set (RFC 7517) and return its keys by key id.

    Each key is an Ed25519 one (RFC 8037) with a member ``iss`` that names its issuer.
    Several keys of one issuer may stand side by side, so that keys can roll. Raises
    ``UnusableKeyError`` for anything else.
    """
    return parse_trusted_keys(read_key_file(path), path)


def read_key_file(path: Path) -> bytes:
    """Return what a key file holds. Raises ``UnusableKeyError`` if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableKeyError(f"{path} cannot be read: {error.strerror}") from None


def parse_signing_key(content: bytes, path: Path) -> SigningKey:
    """Return the private key in what was read from ``path``, as ``load_signing_key`` does."""
    try:
        private = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UnusableKeyError(f"{path} is not an unencrypted private key in PEM") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise UnusableKeyError(f"{path} is not an Ed25519 key")
    return SigningKey(key_id(private.public_key()), private)


def parse_trusted_keys(content: bytes, path: Path) -> Mapping[str, TrustedKey]:
    """Return the keys in what was read from ``path``, as ``load_trusted_keys`` does."""
    try:
        entries = orjson.loads(content)["keys"]
        keys = {
            entry["kid"]: TrustedKey(entry["iss"], _public_key(entry["x"]))
            for entry in entries
            if (entry["kty"], entry["crv"]) == ("OKP", "Ed25519")
        }
    except (ValueError, KeyError, TypeError):
        raise UnusableKeyError(f"{path} is not a JSON Web Key Set with issuers") from None
    if not keys:
        raise UnusableKeyError(f"{path} holds no Ed25519 key")
    return keys


def as_jwk(public: Ed25519PublicKey, issuer: str) -> dict[str, str]:
    """Return the key as an entry of the set that ``load_trusted_keys`` reads."""
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "use": "sig",
        "kid": key_id(public),
        "iss": issuer,
        "x": _base64url(public.public_bytes_raw()),
    }


def key_id(public: Ed25519PublicKey) -> str:
    """Return the key's JWK thumbprint (RFC 7638)."""
    members = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(public.public_bytes_raw())}
    canonical = orjson.dumps(members, option=orjson.OPT_SORT_KEYS)
    return _base64url(hashlib.sha256(canonical).digest())


def _public_key(x: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(x + "=" * (-len(x) % 4)))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
