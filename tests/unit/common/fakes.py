"""Stand-ins for what surrounds the code of ``services.common``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from grpc.aio import AbortError

from services.common.auth.keys import SigningKey, TrustedKey, key_id
from services.common.rpc.methods import Context

NOON = 1_800_000_000.0


class FakeClock:
    """A clock that moves when told to."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def new_signing_key() -> SigningKey:
    private = Ed25519PrivateKey.generate()
    return SigningKey(key_id(private.public_key()), private)


def trusting(**keys: SigningKey) -> dict[str, TrustedKey]:
    """Trust each key as the issuer that it is passed for."""
    return {
        key.key_id: TrustedKey(issuer, key.private.public_key()) for issuer, key in keys.items()
    }


@dataclass
class FakeContext:
    """The context of a call with this metadata and this much time left."""

    metadata: Sequence[tuple[str, str | bytes]] = ()
    time_left_s: float | None = None
    aborted_with: grpc.StatusCode | None = None
    message: str = ""
    trailing: tuple[tuple[str, str | bytes], ...] = ()

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        return self.metadata

    def time_remaining(self) -> float | None:
        return self.time_left_s

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self.trailing

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str | bytes], ...]) -> None:
        self.trailing = metadata

    def code(self) -> int:
        return 0 if self.aborted_with is None else self.aborted_with.value[0]

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: tuple[tuple[str, str | bytes], ...] = (),
    ) -> None:
        self.aborted_with, self.message, self.trailing = code, details, trailing_metadata
        raise AbortError

    @property
    def context(self) -> Context:
        return cast("Context", self)
