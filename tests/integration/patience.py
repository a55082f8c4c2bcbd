"""Waiting for what other tasks and processes bring about, however busy the machine is."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from services.common.transaction import settled

PATIENT_S: Final = 60.0


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until the condition holds; fail after a minute."""
    end = time.monotonic() + PATIENT_S
    while not await settled(condition()):
        assert time.monotonic() < end, "it never came to that"
        await asyncio.sleep(0.01)
