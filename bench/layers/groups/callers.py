"""Knowing who calls: what a token costs, the first time and after."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.layers.contest import Group
from bench.layers.members import Local, Member, Work, confirm, repeated
from bench.layers.setting import Setting
from bench.seeds import nth_id
from services.common.auth.keys import SigningKey, TrustedKey, key_id
from services.common.auth.principal import Principal, Role
from services.common.auth.tokens import USER_ISSUER, ServiceIdentity, TokenSigner, TokenVerifier
from services.common.errors import Unauthenticated

_FIRST: Final = "first use, with its signature"
_KNOWN: Final = "known from before"
_FORGED: Final = "forged, and refused"
_OWN: Final = "a service's own, ready to send"
_TOKENS: Final = 64
_LIFETIME_S: Final = 3_600
_PEER: Final = "shop.inventory.v1.InventoryService"


@asynccontextmanager
async def _opened(_setting: Setting) -> AsyncIterator[Sequence[Member]]:
    key = _new_key()
    keys = {key.key_id: TrustedKey(USER_ISSUER, key.private.public_key())}
    tokens = _signed(key)
    # Another's signature under a key id that is trusted.
    forged = _signed(SigningKey(key.key_id, _new_key().private))
    verifier = TokenVerifier(keys)
    known = cycle(tokens)
    identity = ServiceIdentity("order", _new_key())
    yield [
        Local(_FIRST, _first_uses(keys, tokens), step=_TOKENS),
        Local(
            _KNOWN,
            repeated(lambda: verifier.verify(next(known)), lambda who: who.role is Role.CUSTOMER),
        ),
        Local(_FORGED, _refusals(verifier, forged)),
        Local(_OWN, repeated(lambda: identity.token(_PEER), lambda token: token.count(".") == 2)),
    ]


def _first_uses(keys: dict[str, TrustedKey], tokens: Sequence[str]) -> Work:
    async def work(operations: int) -> None:
        for _ in range(operations // len(tokens)):
            verifier = TokenVerifier(keys)
            callers = {verifier.verify(token).subject for token in tokens}
            confirm(len(callers) == len(tokens), "not every token was its bearer's")

    return work


def _refusals(verifier: TokenVerifier, forged: Sequence[str]) -> Work:
    tokens = cycle(forged)

    async def work(operations: int) -> None:
        refused = 0
        for _ in range(operations):
            try:
                verifier.verify(next(tokens))
            except Unauthenticated:
                refused += 1
        confirm(refused == operations, "a forged token was let in")

    return work


def _new_key() -> SigningKey:
    private = Ed25519PrivateKey.generate()
    return SigningKey(key_id(private.public_key()), private)


def _signed(key: SigningKey) -> list[str]:
    signer = TokenSigner(key, USER_ISSUER)
    bearers = [Principal(nth_id(number), Role.CUSTOMER) for number in range(_TOKENS)]
    return [signer.sign(bearer, _LIFETIME_S)[0] for bearer in bearers]


GROUPS: Final = (Group("token check", (_FIRST, _KNOWN, _FORGED, _OWN), _opened),)
