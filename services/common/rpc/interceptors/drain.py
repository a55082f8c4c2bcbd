"""Refusing new calls while the last ones finish."""

from typing import Any

from services.common.errors import Unavailable
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.methods import Context, Method


class ShuttingDown(Unavailable):
    """The server is about to stop; another one will take the call."""

    reason = "SHUTTING_DOWN"
    always_alike = True


class DrainInterceptor(MethodInterceptor):
    """Lets all calls in until it is closed."""

    def __init__(self) -> None:
        self.closed = False

    def bind(self, method: Method, method_name: str) -> Method:
        """Return the method, refused with ShuttingDown once closed."""

        async def call(request: Any, context: Context) -> Any:
            if self.closed:
                raise ShuttingDown("the server is shutting down")
            return await method(request, context)

        return call
