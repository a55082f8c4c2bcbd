"""Keys and passwords: generated on the first start, kept in files only their owner may read."""

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.common.auth.keys import as_jwk, load_signing_key

_SIGNERS: Final = ("user", "order")
_PASSWORD_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the keys of the services are, and the generated passwords."""

    user_key: Path
    order_key: Path
    trusted_keys: Path
    admin_password: str
    demo_password: str


def open_credentials(folder: Path) -> Credentials:
    """Return the credentials kept in the folder, and generate those that are missing."""
    keys = {issuer: folder / f"{issuer}.pem" for issuer in _SIGNERS}
    for path in keys.values():
        _keep(path, _new_key)
    trusted = folder / "trusted-keys.json"
    _write(trusted, _key_set(keys))
    return Credentials(
        user_key=keys["user"],
        order_key=keys["order"],
        trusted_keys=trusted,
        admin_password=_keep(folder / "admin-password", _new_password).decode(),
        demo_password=_keep(folder / "demo-password", _new_password).decode(),
    )


def _keep(path: Path, generate: Callable[[], bytes]) -> bytes:
    if not path.exists():
        _write(path, generate())
    return path.read_bytes()


def _write(path: Path, content: bytes) -> None:
    """Write the file whole or not at all, unreadable for others from its first moment."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    part.replace(path)


def _new_key() -> bytes:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _new_password() -> bytes:
    return secrets.token_urlsafe(_PASSWORD_BYTES).encode()


def _key_set(keys: Mapping[str, Path]) -> bytes:
    entries = [
        as_jwk(load_signing_key(path).private.public_key(), issuer) for issuer, path in keys.items()
    ]
    return orjson.dumps({"keys": entries}, option=orjson.OPT_INDENT_2)
