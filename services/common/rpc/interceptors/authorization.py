"""Who is calling, and whether they may."""

from typing import Any

from grpc_interceptor.server import AsyncServerInterceptor

from services.common.auth.principal import Principal
from services.common.auth.tokens import TokenVerifier
from services.common.call import current_call
from services.common.errors import PermissionDenied, Unauthenticated
from services.common.rpc.access import AccessTable
from services.common.rpc.methods import Context, Method

_SCHEME = "bearer "


class AuthorizationInterceptor(AsyncServerInterceptor):
    """Applies the service's access table; a method without a row is refused."""

    def __init__(self, access: AccessTable, verifier: TokenVerifier) -> None:
        self._access = access
        self._verifier = verifier

    async def intercept(
        self,
        method: Method,
        request_or_iterator: Any,
        context: Context,
        method_name: str,
    ) -> Any:
        """Serve the call if its rule permits; else raise Unauthenticated or PermissionDenied."""
        rule = self._access.get(method_name.rpartition("/")[2])
        if rule is None:
            raise PermissionDenied("nobody may call this method")
        if rule.permits is not None:
            principal = self._authenticate(context)
            if not rule.permits(principal, request_or_iterator):
                raise PermissionDenied("the caller may not do this")
            current_call().principal = principal
        return await method(request_or_iterator, context)

    def _authenticate(self, context: Context) -> Principal:
        for key, value in context.invocation_metadata() or ():
            if key == "authorization" and isinstance(value, str):
                if value[: len(_SCHEME)].lower() != _SCHEME:
                    raise Unauthenticated("authorization must be 'Bearer <access token>'")
                return self._verifier.verify(value[len(_SCHEME) :])
        raise Unauthenticated("an access token is needed: 'authorization: Bearer <token>'")
