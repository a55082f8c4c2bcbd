"""Signed tokens (JWT, RFC 7519) that say who is calling, used as RFC 8725 advises.

One algorithm (EdDSA), an explicit type, issuer and audience checked. Each trusted key
belongs to one issuer; what a token's bearer is follows from that issuer, so a service that
signs its own identity can never pass for a user. A user's token is for the whole shop, a
service's for the one service that it is sent to: no other believes it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

from services.common.auth.keys import SigningKey, TrustedKey
from services.common.auth.principal import Principal, Role
from services.common.errors import Unauthenticated

AUDIENCE: Final = "shop"
"""The audience of users' tokens; that of a service's token is the full name of a gRPC service."""
USER_ISSUER: Final = "user"
ACCESS_TOKEN_LIFETIME_S: Final = 900
"""How long a user's token is good unless the settings say otherwise."""
_ALGORITHM: Final = "EdDSA"
_TYPE: Final = "at+jwt"  # RFC 9068
_MAX_TOKEN_CHARS: Final = 4096
_MAX_REMEMBERED: Final = 10_000

Clock = Callable[[], float]


class TokenSigner:
    """Signs tokens as one issuer."""

    def __init__(self, key: SigningKey, issuer: str, clock: Clock = time.time) -> None:
        self._key = key
        self.issuer: Final = issuer
        self._clock = clock

    @property
    def key_id(self) -> str:
        """The id of the key that signs."""
        return self._key.key_id

    def use(self, key: SigningKey) -> None:
        """Sign with this key from now on."""
        self._key = key

    def sign(
        self, principal: Principal, lifetime_s: int, audience: str = AUDIENCE
    ) -> tuple[str, int]:
        """Return a token for the principal and when it ends, in seconds of Unix time."""
        now = int(self._clock())
        expire = now + lifetime_s
        claims = {
            "iss": self.issuer,
            "aud": audience,
            "sub": principal.subject,
            "role": principal.role.value,
            "iat": now,
            "exp": expire,
        }
        headers = {"kid": self._key.key_id, "typ": _TYPE}
        return jwt.encode(claims, self._key.private, algorithm=_ALGORITHM, headers=headers), expire


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    expire: float
    key_id: str


class TokenVerifier:
    """Checks tokens against the trusted keys, for the gRPC service of this full name.

    A token that was found good is remembered until it ends, so that only its first use pays
    for the signature. At most 10,000 are remembered; the oldest go first.
    """

    def __init__(
        self, keys: Mapping[str, TrustedKey], clock: Clock = time.time, *, service: str = ""
    ) -> None:
        self._keys = keys
        self._service = service
        self._clock = clock
        self._remembered: dict[str, _Verified] = {}

    @property
    def trusted(self) -> Mapping[str, TrustedKey]:
        """The keys that are trusted now, by key id."""
        return self._keys

    def trust(self, keys: Mapping[str, TrustedKey]) -> None:
        """Trust these keys and no others from now on.

        What another key has proven is forgotten, so that its tokens are refused at once.
        """
        still_trusted = {key_id for key_id, key in keys.items() if self._keys.get(key_id) == key}
        self._keys = keys
        self._remembered = {
            token: verified
            for token, verified in self._remembered.items()
            if verified.key_id in still_trusted
        }

    def verify(self, token: str) -> Principal:
        """Return who the token's bearer is.

        Raises ``Unauthenticated`` for a token that is over, forged or not for this service.
        """
        known = self._remembered.get(token)
        if known is None:
            return self._remember(token, self._check(token)).principal
        if known.expire <= self._clock():
            del self._remembered[token]
            raise Unauthenticated("the access token has expired")
        return known.principal

    def _remember(self, token: str, verified: _Verified) -> _Verified:
        if len(self._remembered) >= _MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[token] = verified
        return verified

    def _check(self, token: str) -> _Verified:
        invalid = Unauthenticated("the access token is not valid")
        if len(token) > _MAX_TOKEN_CHARS:
            raise invalid
        try:
            header = jwt.get_unverified_header(token)
            key_id = header.get("kid", "")
            key = self._keys.get(key_id)
            if key is None or header.get("typ") != _TYPE:
                raise invalid
            claims = jwt.decode(
                token,
                key.public,
                algorithms=[_ALGORITHM],
                audience=AUDIENCE if key.issuer == USER_ISSUER else self._service,
                issuer=key.issuer,
                options={
                    "require": ["exp", "iat", "iss", "sub", "aud"],
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
            verified = _Verified(_principal(key.issuer, claims), float(claims["exp"]), key_id)
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
            raise invalid from None
        if verified.expire <= self._clock():
            raise Unauthenticated("the access token has expired")
        return verified


class ServiceIdentity:
    """Proves to other services which service is calling, with short-lived tokens for each."""

    LIFETIME_S: Final = 300
    _RENEW_BEFORE_END_S: Final = 60

    def __init__(self, name: str, key: SigningKey, clock: Clock = time.time) -> None:
        self._principal = Principal(subject=name, role=Role.SERVICE)
        self._signer = TokenSigner(key, issuer=name, clock=clock)
        self._clock = clock
        self._tokens: dict[str, tuple[str, float]] = {}

    @property
    def issuer(self) -> str:
        """The service's name, which its tokens carry."""
        return self._signer.issuer

    @property
    def key_id(self) -> str:
        """The id of the key that signs."""
        return self._signer.key_id

    def use(self, key: SigningKey) -> None:
        """Sign with this key from now on; a token of another key is not sent again."""
        if key.key_id != self.key_id:
            self._tokens.clear()
        self._signer.use(key)

    def token(self, peer: str) -> str:
        """Return a token for the gRPC service of this full name, with at least a minute to live."""
        token, renew_at = self._tokens.get(peer, ("", 0.0))
        if self._clock() >= renew_at:
            token, expire = self._signer.sign(self._principal, self.LIFETIME_S, peer)
            self._tokens[peer] = token, expire - self._RENEW_BEFORE_END_S
        return token


def _principal(issuer: str, claims: Mapping[str, Any]) -> Principal:
    if issuer != USER_ISSUER:
        return Principal(subject=issuer, role=Role.SERVICE)
    role = Role(claims["role"])
    if role not in {Role.CUSTOMER, Role.ADMIN}:
        raise ValueError(role)
    return Principal(subject=claims["sub"], role=role)
