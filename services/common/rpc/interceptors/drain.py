"""Refusing new calls while the last ones finish."""

import asyncio
from contextlib import suppress
from typing import Any, Final

from services.common.errors import Unavailable
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.methods import Context, Method

_LONGEST_S: Final = 0.2


class ShuttingDown(Unavailable):
    """The server is about to stop; another one will take the call."""

    reason = "SHUTTING_DOWN"
    always_alike = True


class DrainInterceptor(MethodInterceptor):
    """Lets all calls in until it is closed; later ones are kept for a moment and then refused.

    Whoever repeats a refused call at once may meet the same server over the same connection, and
    have given up before that ends. ``kept`` is how many calls wait to be refused.
    """

    def __init__(self) -> None:
        self.closed = False
        self.kept = 0
        self._over = asyncio.Event()

    def refuse_kept_calls(self) -> None:
        """Keep no call any longer, since the connections are about to end."""
        self._over.set()

    def bind(self, method: Method, method_name: str) -> Method:
        """Return the method, refused with ShuttingDown once closed."""

        async def call(request: Any, context: Context) -> Any:
            if self.closed:
                await self._keep()
                raise ShuttingDown("the server is shutting down")
            return await method(request, context)

        return call

    async def _keep(self) -> None:
        self.kept += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST_S):
                    await self._over.wait()
        finally:
            self.kept -= 1
