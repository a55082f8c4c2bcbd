"""The keys of all issuers in one folder, and the steps by which they roll.

``ISSUER.pem`` signs. ``ISSUER.next.pem`` will, once everybody trusts it. ``trusted-keys.json``
holds the public halves of both, and of keys that signed what is still in use; when a key was added
and when another one took its place stand in members of its entry that other readers ignore
(RFC 7517, section 4). A step that was cut short can be taken again.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.common.auth.keys import (
    UnusableKeyError,
    as_jwk,
    load_signing_key,
    load_trusted_keys,
)
from services.keyring.files import PUBLIC, held, move, write_whole

ISSUERS: Final = ("user", "order")
TRUSTED_KEYS: Final = "trusted-keys.json"
_ADDED: Final = "added"
_REPLACED: Final = "replaced"

Clock = Callable[[], float]
Entry = dict[str, Any]


class RingError(Exception):
    """A step cannot be taken; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Waits:
    """How long the shop needs until a change has reached it, and until old tokens have ended."""

    reach_s: float
    lifetimes_s: Mapping[str, float]


class KeyState(StrEnum):
    """What a key is for."""

    SIGNS = "signs"
    STAGED = "staged"
    TRUSTED = "trusted"


@dataclass(frozen=True, slots=True)
class RingKey:
    """A key of the ring; times are seconds of Unix time, None where they are not known."""

    issuer: str
    key_id: str
    state: KeyState
    added: int | None
    replaced: int | None


class Ring:
    """The keys in one folder. One process at a time changes them."""

    def __init__(self, folder: Path, clock: Clock = time.time) -> None:
        self._folder = folder
        self._clock = clock

    def signing_key(self, issuer: str) -> Path:
        """Return the file of the key that signs as the issuer."""
        return self._folder / f"{issuer}.pem"

    @property
    def trusted_keys(self) -> Path:
        """The file of the public keys."""
        return self._folder / TRUSTED_KEYS

    def init(self) -> Sequence[str]:
        """Make what is missing and return the names of the files that were written."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._held():
            made = [issuer for issuer in ISSUERS if not self.signing_key(issuer).exists()]
            for issuer in made:
                write_whole(self.signing_key(issuer), _new_key())
            files = [self.signing_key(issuer).name for issuer in made]
            before = self._entries() if self.trusted_keys.exists() else []
            after = self._completed(before)
            if after != before:
                self._write(after)
                files.append(TRUSTED_KEYS)
            return files

    def all_keys(self) -> Sequence[RingKey]:
        """Return all keys that are trusted, oldest first."""
        states = {as_jwk(key, issuer)["kid"]: state for issuer, state, key in self._own_keys()}
        return [
            _described(entry, states.get(entry["kid"], KeyState.TRUSTED))
            for entry in self._entries()
        ]

    def add(self, issuer: str) -> RingKey:
        """Stage a new key: everybody is to trust it, and nothing signs with it yet."""
        with self._held():
            if self._of(issuer, KeyState.STAGED):
                raise RingError(
                    f"a key of {issuer} is staged already: `use` it, then `add` another"
                )
            staged = self._staged_key(issuer)
            if not staged.exists():
                write_whole(staged, _new_key())
            self._write(self._completed(self._entries()))
            return self._of(issuer, KeyState.STAGED)[0]

    def use(self, issuer: str, waits: Waits, *, now: bool = False) -> RingKey:
        """Sign with the staged key from now on; the old one stays trusted.

        Raises ``RingError`` while a service may not have read that the staged key is to be
        trusted, unless it has to be ``now``.
        """
        with self._held():
            staged = self._of(issuer, KeyState.STAGED)
            if not staged:
                raise RingError(f"no key of {issuer} is staged: `add` one first")
            (key,) = staged
            if not now:
                self._confirm_over(
                    key.added,
                    waits.reach_s,
                    "not every service may trust the staged key yet",
                    "`--now` does not wait: calls fail until every service has read its files",
                )
            signing = [old.key_id for old in self._of(issuer, KeyState.SIGNS)]
            self._write(self._replaced(self._entries(), signing))
            move(self._staged_key(issuer), self.signing_key(issuer))
            return key

    def retire(self, issuer: str, waits: Waits, *, now: bool = False) -> Sequence[str]:
        """Trust no more what neither signs nor is staged, and return the key ids.

        Raises ``RingError`` while a token of such a key may still be good, unless it has to be
        ``now``.
        """
        with self._held():
            old = self._of(issuer, KeyState.TRUSTED)
            if not now:
                for key in old:
                    self._confirm_over(
                        key.replaced,
                        waits.reach_s + waits.lifetimes_s[issuer],
                        "tokens of the old key may still be in use",
                        "`--now` ends them: who holds one has to refresh it or log in again",
                    )
            gone = [key.key_id for key in old]
            if gone:
                self._write([entry for entry in self._entries() if entry["kid"] not in gone])
            return gone

    # ---- what lies in the folder

    @contextmanager
    def _held(self) -> Iterator[None]:
        if not self._folder.is_dir():
            raise RingError(f"{self._folder} is not a folder: `init` makes it")
        try:
            with held(self._folder):
                yield
        except TimeoutError:
            raise RingError(f"another command is at work on {self._folder}") from None

    def _staged_key(self, issuer: str) -> Path:
        return self._folder / f"{issuer}.next.pem"

    def _entries(self) -> list[Entry]:
        """Return the trusted keys as they stand in the file."""
        try:
            trusted = load_trusted_keys(self.trusted_keys)
        except UnusableKeyError as error:
            raise RingError(f"{error}. Where it is missing, `init` makes it") from None
        entries = orjson.loads(self.trusted_keys.read_bytes())["keys"]
        return [entry for entry in entries if entry.get("kid") in trusted]

    def _write(self, entries: Sequence[Entry]) -> None:
        content = orjson.dumps({"keys": entries}, option=orjson.OPT_INDENT_2)
        write_whole(self.trusted_keys, content, PUBLIC)

    def _own_keys(self) -> Iterator[tuple[str, KeyState, Ed25519PublicKey]]:
        """Yield the public halves of what lies in the folder to sign with."""
        for issuer in ISSUERS:
            for state, path in (
                (KeyState.SIGNS, self.signing_key(issuer)),
                (KeyState.STAGED, self._staged_key(issuer)),
            ):
                if path.exists():
                    try:
                        public = load_signing_key(path).private.public_key()
                    except UnusableKeyError as error:
                        raise RingError(str(error)) from None
                    yield issuer, state, public

    # ---- what it means

    def _completed(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the entries with every private key's public half, and every lost key's end."""
        own = {
            jwk["kid"]: jwk
            for jwk in (as_jwk(public, issuer) for issuer, _, public in self._own_keys())
        }
        known = {entry["kid"] for entry in entries}
        missing = [{**jwk, _ADDED: self._now()} for kid, jwk in own.items() if kid not in known]
        lost = [
            entry["kid"]
            for entry in entries
            if entry["iss"] in ISSUERS and entry["kid"] not in own and _REPLACED not in entry
        ]
        return self._replaced([*entries, *missing], lost)

    def _replaced(self, entries: Sequence[Entry], key_ids: Sequence[str]) -> list[Entry]:
        """Return the entries with the mark that these keys sign no more."""
        mark = {_REPLACED: self._now()}
        return [{**entry, **mark} if entry["kid"] in key_ids else entry for entry in entries]

    def _of(self, issuer: str, state: KeyState) -> list[RingKey]:
        return [key for key in self.all_keys() if (key.issuer, key.state) == (issuer, state)]

    def _confirm_over(self, since: int | None, wait_s: float, reason: str, warning: str) -> None:
        """Raise ``RingError`` unless so much time has passed since then."""
        if since is None:
            raise RingError(f"{reason}, and nothing says since when: {warning}")
        left_s = since + wait_s - self._clock()
        if left_s > 0:
            raise RingError(f"{reason}: try again in {ceil(left_s)} s. {warning}")

    def _now(self) -> int:
        return ceil(self._clock())


def _described(entry: Entry, state: KeyState) -> RingKey:
    replaced = entry.get(_REPLACED) if state is KeyState.TRUSTED else None
    return RingKey(entry["iss"], entry["kid"], state, entry.get(_ADDED), replaced)


def _new_key() -> bytes:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
