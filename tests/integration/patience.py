"""Waiting for what other tasks and processes bring about, however busy the machine is."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from services.common.transaction import settled

PATIENT_S: Final = 60.0
_ATTEMPTS: Final = 5


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until the condition holds; fail after a minute."""
    end = time.monotonic() + PATIENT_S
    while not await settled(condition()):
        assert time.monotonic() < end, "it never came to that"
        await asyncio.sleep(0.01)


async def once_within(bound_s: float, attempt: Callable[[], Awaitable[float]]) -> None:
    """Make attempts, each of which returns how long it took, until one kept the bound.

    A machine that stands still spoils one of them; what is slow by itself spoils all.
    """
    took = []
    for _ in range(_ATTEMPTS):
        took.append(await attempt())
        if took[-1] < bound_s:
            return
    pytest.fail(f"not once within {bound_s} s: {took}")
