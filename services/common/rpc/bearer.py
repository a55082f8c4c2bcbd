"""Who a call's access token belongs to."""

from typing import Final

from services.common.auth.principal import Principal
from services.common.auth.tokens import TokenVerifier
from services.common.call import Call
from services.common.errors import Unauthenticated

_SCHEME: Final = "bearer "


def proven_caller(call: Call, verifier: TokenVerifier) -> Principal:
    """Return who the bearer of the call's access token is.

    Raises ``Unauthenticated`` when the call has none, or one that is not good.
    """
    for key, value in call.metadata:
        if key == "authorization" and isinstance(value, str):
            if value[: len(_SCHEME)].lower() != _SCHEME:
                raise Unauthenticated("authorization must be 'Bearer <access token>'")
            return verifier.verify(value[len(_SCHEME) :])
    raise Unauthenticated("an access token is needed: 'authorization: Bearer <token>'")
