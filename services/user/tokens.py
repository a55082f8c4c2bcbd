"""Access tokens signed as the issuer that every service trusts to name users."""

from dataclasses import dataclass
from datetime import UTC, datetime

from services.common.auth.principal import Principal
from services.common.auth.tokens import TokenSigner
from services.user.model import AccessToken, User


@dataclass(frozen=True, slots=True)
class SignedAccessTokens:
    """Access tokens of one lifetime."""

    signer: TokenSigner
    lifetime_s: int

    def issue(self, user: User) -> AccessToken:
        """Return a token for the user."""
        text, expire_s = self.signer.sign(Principal(user.user_id, user.role), self.lifetime_s)
        return AccessToken(text, datetime.fromtimestamp(expire_s, UTC))
