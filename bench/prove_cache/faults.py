"""Faults, one at a time, on a schedule that the seed decides."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final

from bench.prove_cache.history import Fault
from bench.prove_cache.twins import Twins

_BEFORE_THE_FIRST_S: Final = 2.0
_REDIS_DOWN_S: Final = 1.0
_REDIS_FROZEN_S: Final = 1.5  # longer than anybody waits for it
_BROKEN_FOR_S: Final = 0.7
_CALM_S: Final = (1.5, 3.0)
"""How long, at least and at most, the promise must hold again before the next fault."""


async def _kill_redis(twins: Twins, _chance: Random) -> str:
    """Kill Redis and start it empty."""
    await twins.kill_redis()
    await asyncio.sleep(_REDIS_DOWN_S)
    await twins.start_redis()
    return ""


async def _freeze_redis(twins: Twins, _chance: Random) -> str:
    """Stop Redis in whatever it does, and let it go on."""
    twins.signal_redis(signal.SIGSTOP)
    try:
        await asyncio.sleep(_REDIS_FROZEN_S)
    finally:
        twins.signal_redis(signal.SIGCONT)
    return ""


async def _kill_service(twins: Twins, chance: Random) -> str:
    """Kill a service process and start it again; return its name."""
    name = chance.choice(sorted(twins.services))
    await twins.kill_service(name)
    await twins.start_service(name)
    return name


async def _cut(twins: Twins, chance: Random) -> str:
    """Break the connections of one service process to Redis in the middle of a reply."""
    link = twins.links[chance.choice(sorted(twins.links))]
    await link.break_replies()
    try:
        await asyncio.sleep(_BROKEN_FOR_S)
    finally:
        await link.mend()
    return ""


CUT: Final = "cut"
KINDS: Final[Mapping[str, Callable[[Twins, Random], Awaitable[str]]]] = {
    "redis-kill": _kill_redis,
    "redis-freeze": _freeze_redis,
    "service-kill": _kill_service,
    CUT: _cut,
}
"""How to inject each kind; what that returns is the process that was killed, if one was."""


@dataclass(slots=True)
class Faults:
    """Injects faults of the chosen kinds, each as often as the others."""

    twins: Twins
    kinds: Sequence[str]
    chance: Random
    recovery_s: float
    tell: Callable[[str], None]
    injected: list[Fault] = field(default_factory=list)

    @property
    def all_seen(self) -> bool:
        """Whether there was one fault of each kind, and time to see what came of the last."""
        end = max((fault.end for fault in self.injected), default=0.0)
        rested = time.monotonic() >= end + self.recovery_s + _CALM_S[0]
        return rested and {fault.kind for fault in self.injected} >= set(self.kinds)

    async def run(self, stopping: asyncio.Event) -> None:
        """Go on until it is time to stop; everything is whole when this returns."""
        await _sleep(_BEFORE_THE_FIRST_S, stopping)
        while self.kinds and not stopping.is_set():
            for kind in self.chance.sample(self.kinds, len(self.kinds)):
                if not stopping.is_set():
                    await self._inject(kind)
                    await _sleep(self.recovery_s + self.chance.uniform(*_CALM_S), stopping)

    async def _inject(self, kind: str) -> None:
        start = time.monotonic()
        process = await KINDS[kind](self.twins, self.chance)
        fault = Fault(kind, start, time.monotonic(), process)
        self.injected.append(fault)
        self.tell(f"{kind} {process}".strip() + f": {fault.end - start:.1f} s")


async def _sleep(seconds: float, stopping: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)
