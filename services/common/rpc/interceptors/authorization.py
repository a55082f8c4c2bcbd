"""Who is calling, and whether they may."""

from typing import Any

from services.common.auth.tokens import TokenVerifier
from services.common.call import own_call
from services.common.errors import PermissionDenied
from services.common.rpc.access import AccessTable
from services.common.rpc.bearer import proven_caller
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.methods import Context, Method


class AuthorizationInterceptor(MethodInterceptor):
    """Applies the service's access table; a method without a row is refused, a stream too."""

    streams_too = True

    def __init__(self, access: AccessTable, verifier: TokenVerifier) -> None:
        self._access = access
        self._verifier = verifier

    def bind(self, method: Method, method_name: str) -> Method:
        """Return the method as far as its rule permits.

        It raises Unauthenticated for an unknown caller and PermissionDenied for any other that
        the rule refuses. A public method needs nothing round it.
        """
        rule = self._access.get(method_name.rpartition("/")[2])
        if rule is None:
            return _refuse
        permits, verifier = rule.permits, self._verifier
        if permits is None:
            return method

        async def call(request: Any, context: Context) -> Any:
            this = own_call(context)
            principal = proven_caller(this, verifier)
            if not permits(principal, request):
                raise PermissionDenied("the caller may not do this")
            this.principal = principal
            return await method(request, context)

        return call


async def _refuse(_request: Any, _context: Context) -> Any:
    raise PermissionDenied("nobody may call this method")
