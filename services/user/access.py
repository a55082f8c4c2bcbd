"""Who may call which RPC of the User service."""

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
