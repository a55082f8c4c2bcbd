"""The folder in which all secrets of a shop are kept; nobody reads it but the provisioner."""

import base64
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from services.provision.errors import ProvisionError
from services.provision.files import kept

_PASSWORD_BYTES: Final = 24
_MONGODB_KEY_BYTES: Final = 96


class Vault:
    """Secrets by name: each is made when it is first asked for, and stays.

    The signing keys lie in the folder ``keys``, where ``python -m services keys`` makes them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def password(self, name: str) -> str:
        """Return the password of this name, of letters, digits, ``-`` and ``_``."""
        return kept(self._folder / name, lambda: secrets.token_urlsafe(_PASSWORD_BYTES))

    def passwords(self, store: str, names: Iterable[str]) -> Mapping[str, str]:
        """Return the passwords that these users of a store have."""
        return {name: self.password(f"{store}-{name}") for name in names}

    def mongodb_key(self) -> str:
        """Return what members of a MongoDB replica set prove themselves to each other with."""
        return kept(
            self._folder / "mongodb-key",
            lambda: base64.b64encode(secrets.token_bytes(_MONGODB_KEY_BYTES)).decode(),
        )

    def signing_file(self, name: str) -> bytes:
        """Return a file of the signing keys. Raises ``ProvisionError`` if there is none."""
        path = self._folder / "keys" / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise ProvisionError(
                f"{path} is missing: `python -m services keys init {path.parent}` makes it"
            ) from None
