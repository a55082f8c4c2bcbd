"""Access tokens, good ones and bad ones."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.common.auth.keys import SigningKey, key_id, load_signing_key
from services.common.auth.principal import Principal, Role
from services.common.auth.tokens import AUDIENCE, USER_ISSUER, ServiceIdentity, TokenSigner
from services.stack.credentials import Credentials

TYPE = "at+jwt"
HOUR_S = 3_600


@dataclass(frozen=True, slots=True)
class Mint:
    """Signs with the keys of a shop."""

    user_key: SigningKey
    order_key: SigningKey

    @classmethod
    def of(cls, credentials: Credentials) -> "Mint":
        """Return the mint of a shop with these credentials."""
        return cls(load_signing_key(credentials.user_key), load_signing_key(credentials.order_key))

    def user(self, user_id: str, role: Role = Role.CUSTOMER, lifetime_s: int = HOUR_S) -> str:
        """Return a token as the User service signs it."""
        token, _ = TokenSigner(self.user_key, USER_ISSUER).sign(
            Principal(user_id, role), lifetime_s
        )
        return token

    def service(self, peer: str = "shop.inventory.v1.InventoryService") -> str:
        """Return a token as the Order service signs it for another one."""
        return ServiceIdentity("order", self.order_key).token(peer)

    def expired(self, user_id: str, role: Role = Role.CUSTOMER) -> str:
        """Return a token of the User service that ended a second ago."""
        return self.user(user_id, role, lifetime_s=-1)


def claims(subject: str, **changes: Any) -> dict[str, Any]:
    """Return the claims of a good token of an administrator, with changes; None drops one."""
    now = int(time.time())
    good: dict[str, Any] = {
        "iss": USER_ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "role": Role.ADMIN.value,
        "iat": now,
        "exp": now + HOUR_S,
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def signed(key: SigningKey, content: Mapping[str, Any], **headers: str) -> str:
    """Return a token with this content, as good as the key is."""
    return jwt.encode(
        dict(content),
        key.private,
        algorithm="EdDSA",
        headers={"kid": key.key_id, "typ": TYPE, **headers},
    )


def foreign_key() -> SigningKey:
    """Return a key that nobody trusts."""
    private = Ed25519PrivateKey.generate()
    return SigningKey(key_id(private.public_key()), private)
