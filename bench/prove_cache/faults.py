"""Faults, one at a time, on a schedule that the seed decides."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from random import Random
from typing import Final

from bench import brittle_redis
from bench.prove_cache.history import CUT, HANG, KILL, Fault
from bench.prove_cache.twins import Twins

_BEFORE_THE_FIRST_S: Final = 2.0
_NOTICED_FOR_S: Final = 0.5
_HANGS_FOR_S: Final = (0.2, 1.5)
"""At least and at most: two timeouts are between them, after which a process gives Redis up."""
_REST_S: Final = 1.0
"""How long all is well before a run may end."""
_CALM_S: Final = (1.5, 3.0)
"""How long, at least and at most, all is well before the next fault."""

Breaking = Callable[[Twins, Random], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def _broken(fault: brittle_redis.Fault, twins: Twins, _chance: Random) -> AsyncIterator[str]:
    """Break Redis for all until each process has noticed."""
    async with fault(twins.redis):
        await twins.become("open")
        yield ""


@asynccontextmanager
async def _hanging(twins: Twins, chance: Random) -> AsyncIterator[str]:
    """Stop Redis for a moment."""
    async with twins.redis.frozen():
        await asyncio.sleep(chance.uniform(*_HANGS_FOR_S))
        yield ""


@asynccontextmanager
async def _cut(twins: Twins, chance: Random) -> AsyncIterator[str]:
    """Break the connections of one process to Redis until it has noticed; tell its name."""
    name = chance.choice(sorted(twins.ways))
    async with brittle_redis.cut_off(twins.ways[name]):
        await twins.become("open", [name])
        await asyncio.sleep(_NOTICED_FOR_S)
        yield name


@asynccontextmanager
async def _killed(twins: Twins, chance: Random) -> AsyncIterator[str]:
    """Kill a service process and start it again; tell its name."""
    name = chance.choice(sorted(twins.services))
    await twins.kill_service(name)
    await twins.start_service(name)
    yield name


KINDS: Final[Mapping[str, Breaking]] = {
    **{f"redis-{name}": partial(_broken, fault) for name, fault in brittle_redis.FAULTS.items()},
    HANG: _hanging,
    CUT: _cut,
    KILL: _killed,
}
"""What may be broken for a block; the block is given the process that it meets, if it is one."""


@dataclass(slots=True)
class Faults:
    """Injects faults of the chosen kinds, each as often as the others."""

    twins: Twins
    kinds: Sequence[str]
    chance: Random
    tell: Callable[[str], None]
    injected: list[Fault] = field(default_factory=list)
    _mended_at: float = 0.0

    @property
    def all_seen(self) -> bool:
        """Whether there was one fault of each kind, and time to see what came of the last."""
        rested = time.monotonic() >= self._mended_at + _REST_S
        return rested and {fault.kind for fault in self.injected} >= set(self.kinds)

    async def run(self, stopping: asyncio.Event) -> None:
        """Go on until it is time to stop; everything is whole when this returns."""
        await _sleep(_BEFORE_THE_FIRST_S, stopping)
        while self.kinds and not stopping.is_set():
            for kind in self.chance.sample(self.kinds, len(self.kinds)):
                if not stopping.is_set():
                    await self._inject(kind)
                    await _sleep(self.chance.uniform(*_CALM_S), stopping)

    async def _inject(self, kind: str) -> None:
        """Break something, mend it, and wait until all processes use Redis again."""
        self._mended_at = inf
        start = time.monotonic()
        async with KINDS[kind](self.twins, self.chance) as process:
            pass
        end = time.monotonic()
        self.injected.append(Fault(kind, start, end, process))
        await self.twins.become("closed")
        self._mended_at = time.monotonic()
        well = self._mended_at - end
        self.tell(f"{kind} {process}".strip() + f": {end - start:.1f} s, all well {well:.1f} s on")


async def _sleep(seconds: float, stopping: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)
