"""Waiting for what other tasks bring about, however busy the machine is."""

import asyncio
from collections.abc import Callable
from typing import Final

PATIENCE_S: Final = 30.0
_POLL_S: Final = 0.001


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds. Raises ``TimeoutError`` after half a minute."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 (it tells nobody when)
            await asyncio.sleep(_POLL_S)
