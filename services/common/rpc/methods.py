"""What an RPC method is to the code around it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
from grpc.aio import ServicerContext

Context = ServicerContext[Any, Any]
Method = Callable[[Any, Context], Awaitable[Any]]

UNREADABLE: Final = object()
"""The request of a call that came with bytes which are no message of its method."""

# The native server starts its own clock when a call arrives, and Python's when it gets to it.
_CLOCKS_DIFFER_S: Final = 0.05
_CODE_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}


def status_of(context: Context, *, cancelled: bool = False) -> grpc.StatusCode:
    """Return the status that the client of a failed call got.

    ``cancelled`` says that the call was ended from outside: by its client, or by its deadline.
    """
    if cancelled:
        left: float | None = context.time_remaining()
        over = left is not None and left <= _CLOCKS_DIFFER_S
        return grpc.StatusCode.DEADLINE_EXCEEDED if over else grpc.StatusCode.CANCELLED
    code: Any = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    return _CODE_BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN)  # grpc.aio keeps a number
