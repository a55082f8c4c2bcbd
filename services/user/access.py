"""Who may call which RPC of the User service, and with how large a request."""

from collections.abc import Mapping
from typing import Final

from services.common.rpc.access import (
    PUBLIC,
    AccessTable,
    acting_for,
    owned_by,
    owned_or_administered,
)

ACCESS: Final[AccessTable] = {
    "RegisterUser": PUBLIC,
    "AuthenticateUser": PUBLIC,
    "RefreshTokens": PUBLIC,
    "RevokeTokens": PUBLIC,
    "GetUserProfile": acting_for(lambda request: request.user_id),
    "UpdateUserProfile": owned_or_administered(lambda request: request.user.user_id),
    "ChangePassword": owned_by(lambda request: request.user_id),
}

MAX_BYTES: Final[Mapping[str, int]] = {
    "RegisterUser": 4 * 1024,
    "AuthenticateUser": 4 * 1024,
    "UpdateUserProfile": 4 * 1024,
    "ChangePassword": 4 * 1024,
}
"""Bytes of the largest request: about twice what its longest fields take; 1 KiB if not named."""
