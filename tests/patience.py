"""Waiting and timing on machines that stand still now and then."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

PATIENCE_S: Final = 30.0
_POLL_S: Final = 0.001
_ATTEMPTS: Final = 8


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds. Raises ``TimeoutError`` after half a minute."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 (it tells nobody when)
            await asyncio.sleep(_POLL_S)


async def least(measure: Callable[[], Awaitable[float]], enough: float) -> float:
    """Measure until it is at most ``enough``, eight times at most; return the least.

    A machine that stands still makes some measurements larger, and none smaller.
    """
    found: list[float] = []
    while len(found) < _ATTEMPTS and min(found, default=enough + 1) > enough:
        found.append(await measure())
    return min(found)
