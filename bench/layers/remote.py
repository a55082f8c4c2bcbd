"""Calls of another process to a server, as members of a group."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from bench.arms import Arm
from bench.layers.members import UNLIMITED, Measured, Processes
from bench.load import Driver, Outcome, Target, driving
from bench.stores import Asked, StoreCounts

_GENTLE: Final = 16  # at a time, while everything still has to be loaded


class Remote:
    """One arm: its calls, the process that makes them and those that answer.

    Every answer must be OK and come from where the arm claims, by ``x-cache`` and by the counters
    of the stores. A round's time begins when the client is connected.
    """

    def __init__(
        self,
        arm: Arm,
        driver: Driver,
        processes: Processes,
        counts: StoreCounts,
        most: int = UNLIMITED,
    ) -> None:
        self.name: Final = arm.name
        self.step: Final = arm.at_once
        self.most: Final = most
        self._arm = arm
        self._driver = driver
        self._processes = processes
        self._counts = counts

    async def visit(self, calls: int) -> None:
        """Make so many calls, gently, of which nothing is claimed."""
        await asyncio.to_thread(self._driver.make, calls, min(_GENTLE, self._arm.at_once))

    async def run(self, operations: int) -> Measured:
        """Make so many calls. Raises ``NotWhatItClaimsError`` and ``CallsFailedError``."""
        return await asyncio.to_thread(self._run, operations)

    def _run(self, operations: int) -> Measured:
        asked = self._counts.read()
        cpu_s, stores_cpu_s = self._processes.cpu_s()
        outcome = self._driver.make(operations, self._arm.at_once)
        now_cpu_s, now_stores_cpu_s = self._processes.cpu_s()
        self._prove(outcome, now_cpu_s - cpu_s, asked)
        return Measured(outcome.seconds, now_cpu_s - cpu_s, now_stores_cpu_s - stores_cpu_s)

    def _prove(self, outcome: Outcome, cpu_s: float, before: Asked) -> None:
        self._arm.note(outcome, cpu_s, before, self._counts.read())
        self._arm.check()


def connected(
    stack: AsyncExitStack,
    arm: Arm,
    target: Target,
    processes: Processes,
    counts: StoreCounts,
    most: int = UNLIMITED,
) -> Remote:
    """Return an arm whose client runs until the stack is closed."""
    return Remote(arm, stack.enter_context(driving(target)), processes, counts, most)
