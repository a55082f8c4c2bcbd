"""Callers who repeat what may not have been done."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import grpc
from grpc.aio import AioRpcError

OPEN_OUTCOMES: Final = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
_PERSISTS_S: Final = 90.0
_PAUSE_S: Final = 0.05

Answer = TypeVar("Answer")


async def persistently(attempt: Callable[[], Awaitable[Answer]]) -> Answer:
    """Repeat a call while its outcome is open, as a careful client does.

    An UNKNOWN is what an exception that nobody mapped looks like: it fails the test.
    """
    end = time.monotonic() + _PERSISTS_S
    while True:
        try:
            return await attempt()
        except AioRpcError as error:
            if error.code() not in OPEN_OUTCOMES or time.monotonic() > end:
                raise
        await asyncio.sleep(_PAUSE_S)
