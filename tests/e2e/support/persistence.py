"""Callers who do not give up."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import grpc
from grpc.aio import AioRpcError

_REPEATED: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
    # What is refused for want of room was not done, and may be in a moment.
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_PERSISTS_S: Final = 90.0
_PAUSE_S: Final = 0.05

Answer = TypeVar("Answer")


async def persistently(attempt: Callable[[], Awaitable[Answer]]) -> Answer:
    """Repeat a call while its outcome is open or there is no room, as a careful client does."""
    end = time.monotonic() + _PERSISTS_S
    while True:
        try:
            return await attempt()
        except AioRpcError as error:
            if error.code() not in _REPEATED or time.monotonic() > end:
                raise
        await asyncio.sleep(_PAUSE_S)
