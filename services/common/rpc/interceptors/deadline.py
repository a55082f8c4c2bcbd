"""How long a call may take."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from grpc_interceptor.server import AsyncServerInterceptor

from services.common.call import current_call
from services.common.errors import DeadlineExceeded
from services.common.rpc.methods import Context, Method

DEFAULT_MAX_S: Final = 5.0


class DeadlineInterceptor(AsyncServerInterceptor):
    """Ends a call at the client's deadline or after the method's maximum, whichever is first."""

    def __init__(self, max_s: Mapping[str, float]) -> None:
        self._max_s = max_s

    async def intercept(
        self,
        method: Method,
        request_or_iterator: Any,
        context: Context,
        method_name: str,
    ) -> Any:
        """Serve the call within its time; else cancel it and raise DeadlineExceeded."""
        allowed_s = self._max_s.get(method_name.rpartition("/")[2], DEFAULT_MAX_S)
        client_s: float | None = context.time_remaining()
        if client_s is not None:
            allowed_s = min(allowed_s, client_s)
        deadline = asyncio.get_running_loop().time() + allowed_s
        current_call().deadline = deadline
        try:
            async with asyncio.timeout_at(deadline):
                return await method(request_or_iterator, context)
        except TimeoutError:
            raise DeadlineExceeded("the deadline of the call has passed") from None
