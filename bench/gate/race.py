"""The arms of the gate, measured in short interleaved rounds until enough is known."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import geometric_mean, median
from typing import Final

from bench import progress
from bench.arms import Arm
from bench.cache_arms import LAYERS, METHODS, Extent, bare, echo, naive, of_services
from bench.cache_report import ECHO_ARM
from bench.cache_shop import STEADY, Stores, running_stores, seed_shop, shop_on
from bench.racing import Entry, measure, warm
from bench.stores import StoreCounts, counted
from services.stack.services import Shop, running_services

PRODUCTS: Final = 500
USERS: Final = 100
BESIDE_ECHO: Final = ("bare", "naive cached")


@dataclass(frozen=True, slots=True)
class Times:
    """CPU time per call in microseconds, by group and by arm: of each arm one per round.

    A group is a method, or ``echo``: the empty call beside what does not go through the chain. Each
    has an empty call of its own, made within the same fraction of a second.
    """

    by_group: Mapping[str, Mapping[str, Sequence[float]]]

    @property
    def rounds(self) -> int:
        """How many rounds there were."""
        return min(len(times) for arms in self.by_group.values() for times in arms.values())

    def ratios(self, arm: str, to: str) -> list[float]:
        """Return, round by round, how many times as dear ``arm`` was as ``to``.

        The name of a layer alone stands for its arms of all methods: the geometric mean of their
        ratios, which scatters less. Raises ``KeyError`` for what is not measured together.
        """
        group, _, layer = arm.partition(" ")
        if layer or group == ECHO_ARM:
            return _ratios(self.by_group[group], arm, to)
        of_methods = [
            _ratios(arms, f"{name} {arm}", to if to == ECHO_ARM else f"{name} {to}")
            for name, arms in self.by_group.items()
            if name != ECHO_ARM
        ]
        return [geometric_mean(ratios) for ratios in zip(*of_methods, strict=True)]

    def medians(self) -> dict[str, float]:
        """Return the median of each arm; of the empty call, over all groups."""
        found = {
            arm: median(times)
            for arms in self.by_group.values()
            for arm, times in arms.items()
            if arm != ECHO_ARM
        }
        empty = [time for arms in self.by_group.values() for time in arms[ECHO_ARM]]
        return {ECHO_ARM: median(empty), **found}


def measured_together(arm: str, to: str) -> bool:
    """Whether there is a ratio of one to the other: arms of one group, or layers of all methods."""
    if arm == ECHO_ARM:
        return to in BESIDE_ECHO
    method, _, layer = arm.partition(" ")
    if not layer:
        return arm in LAYERS and to in (ECHO_ARM, *LAYERS)
    others = [f"{method} {other}" for other in LAYERS]
    return method in METHODS and layer in LAYERS and to in (ECHO_ARM, *others)


def _ratios(arms: Mapping[str, Sequence[float]], arm: str, to: str) -> list[float]:
    return [mine / other for mine, other in zip(arms[arm], arms[to], strict=True)]


Known = Callable[[Times], bool]


@dataclass(frozen=True, slots=True)
class Pace:
    """Rounds of so many calls per arm; whether enough is known is asked after each ``every``."""

    calls: int = 800
    callers: int = 64
    least: int = 40
    most: int = 80
    every: int = 20
    products: int = PRODUCTS
    users: int = USERS

    @property
    def whole(self) -> "Pace":
        """The same with all rounds, whatever is known before."""
        return replace(self, least=self.most)

    @property
    def extent(self) -> Extent:
        """How much is there to be read."""
        return Extent(self.products, self.users, self.most, self.calls, self.callers)


async def raced(pace: Pace, known: Known) -> Times:
    """Measure on stores and services of its own until enough is known, or the rounds are over.

    Raises ``NotWhatItClaimsError`` and ``CallsFailedError``.
    """
    async with running_stores() as own:
        await seed_shop(own, pace.products, pace.users)
        with shop_on(own, STEADY) as shop:
            async with running_services(own.folder, shop) as children:
                pids = {name: child.process.pid for name, child in children.items()}
                return await asyncio.to_thread(_race, pace, own, shop, pids, known)


def _race(pace: Pace, own: Stores, shop: Shop, pids: Mapping[str, int], known: Known) -> Times:
    with ExitStack() as stack:
        counts = stack.enter_context(counted(own.mongo.uri, own.redis.uri))
        empty = echo(stack, pace.extent)
        of_groups = {
            ECHO_ARM: [bare(stack, pace.extent), naive(stack, own, pace.extent, "cached")],
            **of_services(stack, pace.extent, shop, pids),
        }
        warm(
            [empty, *(entry for entries in of_groups.values() for entry in entries)],
            counts,
            max(pace.products, pace.users),
        )
        groups = {
            group: [Entry(_again(empty.arm), empty.pid, empty.driver), *entries]
            for group, entries in of_groups.items()
        }
        times = Times(
            {
                group: {entry.arm.name: entry.arm.cpu_us for entry in entries}
                for group, entries in groups.items()
            }
        )
        for number in range(pace.most):
            progress.show(f"round {number + 1} of at most {pace.most}")
            _round(number, groups, counts, pace.calls)
            done = number + 1
            if done >= pace.least and done % pace.every == 0 and known(times):
                break
        progress.end()
        for entries in groups.values():
            for entry in entries:
                entry.arm.check()
    return times


def _round(
    number: int, groups: Mapping[str, Sequence[Entry]], counts: StoreCounts, calls: int
) -> None:
    """Measure each arm once, those of a group in direct succession, in an order of its own."""
    chance = random.Random(number)  # noqa: S311 (nothing secret)
    for group in chance.sample(list(groups), len(groups)):
        entries = groups[group]
        for entry in chance.sample(entries, len(entries)):
            share = max(entry.arm.at_once, round(calls * entry.arm.share))
            measure(entry.arm, entry, counts, share)


def _again(arm: Arm) -> Arm:
    """Return the same arm with nothing measured yet."""
    return Arm(arm.name, arm.claim, share=arm.share, at_once=arm.at_once)
