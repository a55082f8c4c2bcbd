"""Measuring the members of a group in turns.

Members of a group are there to be compared. Measured one after another, the second may meet a
machine that has other things to do. So every round goes through all members, in an order of its
own, and each round's figures belong together: ratios are taken round by round.
"""

import asyncio
import gc
import random
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from bench.layers.members import Measured, Member
from bench.layers.setting import Setting

_GROWTH: Final = 10.0
_PAUSE_S: Final = 0.005  # for what runs beside: work in progress, the links of caches

Opening = Callable[[Setting], AbstractAsyncContextManager[Iterable[Member]]]


@dataclass(frozen=True, slots=True)
class Group:
    """Members that are compared with the first of them. Opened, it has those that it names."""

    name: str
    members: Sequence[str]
    opened: Opening


@dataclass(frozen=True, slots=True)
class Extent:
    """How many rounds there are, and about how long each takes, in seconds."""

    rounds: int
    round_s: float


USUAL: Final = Extent(rounds=21, round_s=0.05)
QUICK: Final = Extent(rounds=5, round_s=0.02)


@dataclass(slots=True)
class Figures:
    """What was measured of a member, whose rounds have so many operations each."""

    operations: int
    rounds: list[Measured] = field(default_factory=list)


async def held(
    group: Group, wanted: Collection[str], setting: Setting, extent: Extent
) -> Mapping[str, Figures]:
    """Return the figures of the wanted members. Raises ``NotWhatItClaimsError`` and any other."""
    _say(f"{group.name}: starting")
    async with group.opened(setting) as opened:
        members = [member for member in opened if member.name in wanted]
        missing = set(wanted) - {member.name for member in members}
        if missing:
            raise LookupError(f"{group.name} has no {', '.join(sorted(missing))}")
        figures = {}
        for member in members:
            _say(f"{group.name}: warming up")
            figures[member.name] = Figures(await _enough(member, extent.round_s))
        _forget_garbage()
        for number in range(extent.rounds):
            _say(f"{group.name}: round {number + 1} of {extent.rounds}")
            for member in random.Random(number).sample(members, len(members)):  # noqa: S311
                await asyncio.sleep(_PAUSE_S)
                found = figures[member.name]
                found.rounds.append(await member.run(found.operations))
        _say(f"{group.name}: {len(members)} measured", end="\n")
    return figures


async def _enough(member: Member, round_s: float) -> int:
    """Return how many operations take about so long, having done them."""
    operations = member.step
    while True:
        await asyncio.sleep(_PAUSE_S)
        seconds = max((await member.run(operations)).seconds, 1e-9)
        fitting = _rounded(member, operations * min(round_s / seconds, _GROWTH))
        if seconds >= round_s / 2 or fitting <= operations:
            return fitting
        operations = fitting


def _rounded(member: Member, operations: float) -> int:
    """Return a number of operations that the member can do."""
    steps = min(ceil(operations / member.step), member.most // member.step)
    return max(steps, 1) * member.step


def _forget_garbage() -> None:
    """Let what lives long be left alone by the garbage collector, as services do."""
    gc.collect()
    gc.freeze()


def _say(text: str, end: str = "") -> None:
    """Show progress where it can be written over, and elsewhere only what ends a line."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text:<60}{end}")
        sys.stderr.flush()
    elif end:
        sys.stderr.write(f"{text}{end}")
