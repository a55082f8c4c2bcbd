"""Key files that are read again while a process runs, so that keys can roll without a restart."""

import asyncio
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final, Protocol

import structlog

from services.common.auth.keys import (
    SigningKey,
    UnusableKeyError,
    load_trusted_keys,
    parse_signing_key,
    parse_trusted_keys,
    read_key_file,
)
from services.common.auth.tokens import TokenVerifier

KEYS_REFRESH_S: Final = 10.0
"""How often key files are looked at unless the settings say otherwise."""

log = structlog.get_logger()


class Signer(Protocol):
    """What signs tokens as one issuer, with a key that can be changed."""

    @property
    def issuer(self) -> str:
        """Whose tokens it signs."""
        ...

    @property
    def key_id(self) -> str:
        """The id of the key that signs."""
        ...

    def use(self, key: SigningKey) -> None:
        """Sign with this key from now on."""
        ...


class KeyFile(ABC):
    """A file of keys whose changes take effect when it is looked at.

    A file that is missing, half written or wrong changes nothing: the keys from before stay.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self.failures = 0
        self._taken: bytes | None = None
        self._complaint = ""

    async def refresh(self) -> None:
        """Read the file, and take over what it says if that is new.

        It is compared by its content: neither times nor inodes tell of every change.
        """
        try:
            content = await asyncio.to_thread(read_key_file, self.path)
            if content != self._taken:
                self.take(content)
        except UnusableKeyError as error:
            self._complain(str(error))
            return
        self._taken = content
        if self._complaint:
            log.info("key file usable again", file=self.name)
        self._complaint = ""

    def _complain(self, complaint: str) -> None:
        self.failures += 1
        if complaint != self._complaint:
            log.error("key file not usable, the old keys stay", file=self.name, error=complaint)
        self._complaint = complaint

    @abstractmethod
    def take(self, content: bytes) -> None:
        """Make what the file says the truth. Raises ``UnusableKeyError`` and changes nothing."""


class TrustedKeysFile(KeyFile):
    """The public keys that a verifier trusts."""

    def __init__(self, path: Path, verifier: TokenVerifier) -> None:
        super().__init__("trusted keys", path)
        self._verifier = verifier

    def take(self, content: bytes) -> None:
        """Trust the keys of this set and no others."""
        keys, before = parse_trusted_keys(content, self.path), self._verifier.trusted
        self._verifier.trust(keys)
        if added := sorted(keys.keys() - before.keys()):
            log.info("keys trusted from now on", keys=added)
        if removed := sorted(before.keys() - keys.keys()):
            log.info("keys no longer trusted", keys=removed)


class SigningKeyFile(KeyFile):
    """The private key of a signer."""

    def __init__(self, path: Path, signer: Signer, verifier: TokenVerifier) -> None:
        super().__init__("signing key", path)
        self._signer = signer
        self._verifier = verifier

    def take(self, content: bytes) -> None:
        """Sign with this key, if this very process would believe it.

        Where the two files do not arrive together, the old key signs until both are there.
        """
        key = parse_signing_key(content, self.path)
        if key.key_id == self._signer.key_id:
            return
        self.confirm_trusted(key.key_id)
        self._signer.use(key)
        log.info("another key signs from now on", issuer=self._signer.issuer, key=key.key_id)

    def confirm_trusted(self, key_id: str) -> None:
        """Raise ``UnusableKeyError`` unless what this key signs would be believed here."""
        trusted = self._verifier.trusted.get(key_id)
        if trusted is None or trusted.issuer != self._signer.issuer:
            raise UnusableKeyError(
                f"{self.path}: its key {key_id} is not among the trusted keys "
                f"of {self._signer.issuer}"
            )


class LiveKeys:
    """The keys of one process: whom it trusts and, if it signs, with what."""

    def __init__(
        self, trusted: Path, signing: tuple[Path, Signer] | None = None, *, service: str = ""
    ) -> None:
        """Read the file of trusted keys. ``signing`` is the file that a signer's key came from.

        ``service`` is the full name of the gRPC service to which other services prove themselves.
        Raises ``UnusableKeyError`` if they are not usable, or do not contain the signer's.
        """
        self.verifier = TokenVerifier(load_trusted_keys(trusted), service=service)
        self.files: list[KeyFile] = [TrustedKeysFile(trusted, self.verifier)]
        self.signer: Signer | None = None
        if signing is not None:
            path, self.signer = signing
            file = SigningKeyFile(path, self.signer, self.verifier)
            file.confirm_trusted(self.signer.key_id)
            self.files.append(file)

    async def refresh(self) -> None:
        """Look at all files, what is trusted first, and take over what has changed."""
        for file in self.files:
            await file.refresh()
