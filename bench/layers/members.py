"""What can be measured: work of this process, done so many times over."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from bench.arms import NotWhatItClaimsError
from bench.cpu import cpu_seconds
from services.common.call import Call, enter_call
from services.common.freshness import Freshness

UNLIMITED: Final = 1_000_000

Result = TypeVar("Result")
Work = Callable[[int], Awaitable[None]]
"""Does so many operations. Raises ``NotWhatItClaimsError`` if they had the wrong outcome."""

Claim = Callable[[int], AbstractAsyncContextManager[None]]
"""Surrounds so many operations, and raises ``NotWhatItClaimsError`` unless they bore it out."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a round took: by the clock, of the CPU of what is measured, and of the stores' CPU."""

    seconds: float
    cpu_s: float
    stores_cpu_s: float


class Member(Protocol):
    """One of the ways that a group compares.

    A round has a multiple of ``step`` operations, and at most ``most``.
    """

    @property
    def name(self) -> str:
        """What it is called in its group."""
        ...

    @property
    def step(self) -> int:
        """The fewest operations that make sense, such as one for every caller."""
        ...

    @property
    def most(self) -> int:
        """The most operations of a round."""
        ...

    async def run(self, operations: int) -> Measured:
        """Do so many operations. Raises ``NotWhatItClaimsError`` and what they raise."""
        ...


@dataclass(frozen=True, slots=True)
class Processes:
    """Whose CPU time counts: the processes that are measured, and those of the stores."""

    measured: Sequence[int] = (os.getpid(),)
    stores: Sequence[int] = ()

    def cpu_s(self) -> tuple[float, float]:
        """Return the CPU time until now of both kinds, threads included, in seconds."""
        return sum(map(cpu_seconds, self.measured)), sum(map(cpu_seconds, self.stores))


@dataclass(frozen=True, slots=True)
class Local:
    """Work of this process. What the claim does is not timed."""

    name: str
    work: Work
    claim: Claim | None = None
    processes: Processes = Processes()
    step: int = 1
    most: int = UNLIMITED

    async def run(self, operations: int) -> Measured:
        """Do so many operations. Raises ``NotWhatItClaimsError`` and what they raise."""
        if self.claim is None:
            return await self._timed(operations)
        async with self.claim(operations):
            return await self._timed(operations)

    async def _timed(self, operations: int) -> Measured:
        cpu_s, stores_cpu_s = self.processes.cpu_s()
        begun = time.perf_counter()
        await self.work(operations)
        seconds = time.perf_counter() - begun
        now_cpu_s, now_stores_cpu_s = self.processes.cpu_s()
        return Measured(seconds, now_cpu_s - cpu_s, now_stores_cpu_s - stores_cpu_s)


def repeated(call: Callable[[], Result], is_right: Callable[[Result], bool]) -> Work:
    """Return the work of calling a function; the last result must be right."""

    async def work(operations: int) -> None:
        for _ in range(operations - 1):
            call()
        confirm(is_right(call()), "the result is wrong")

    return work


def awaited(call: Callable[[], Awaitable[Result]], is_right: Callable[[Result], bool]) -> Work:
    """Return the work of awaiting what a function returns; the last result must be right."""

    async def work(operations: int) -> None:
        for _ in range(operations - 1):
            await call()
        confirm(is_right(await call()), "the result is wrong")

    return work


def called(
    at_once: int, operate: Callable[[], Awaitable[object]], freshness: Freshness = Freshness.NEAR
) -> Work:
    """Return the work of so many callers at a time, each with a call of its own."""

    async def caller(left: Iterator[int]) -> None:
        call = Call("bench")
        call.freshness = freshness
        enter_call(call)
        for _ in left:
            await operate()

    async def work(operations: int) -> None:
        left = iter(range(operations))
        await asyncio.gather(*(asyncio.create_task(caller(left)) for _ in range(at_once)))

    return work


def confirm(holds: bool, otherwise: str) -> None:  # noqa: FBT001
    """Raise ``NotWhatItClaimsError``, and say what is the matter, unless something holds."""
    if not holds:
        raise NotWhatItClaimsError(otherwise)
