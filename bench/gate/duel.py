"""Two trees measured against each other, arm by arm, in interleaved rounds."""

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from bench import progress
from bench.cache_arms import Extent, echo, of_services
from bench.cache_shop import (
    INVENTORY_DATABASE,
    ORDER_DATABASE,
    STEADY,
    USER_DATABASE,
    Stores,
    running_stores,
    shop_on,
)
from bench.gate.trees import NoTreeError, Tree
from bench.racing import Entry, measure, warm
from bench.stores import StoreCounts, counted
from services.stack.services import Shop, running_services

# What is stored is what the tree's own code expects.
_SEED: Final = """
import asyncio, sys
from bench.seeds import seed_orders, seed_products, seed_users
uri, products, users, inventory, people, orders = sys.argv[1:]
asyncio.run(seed_products(uri, inventory, int(products)))
asyncio.run(seed_users(uri, people, int(users)))
asyncio.run(seed_orders(uri, orders, int(users), int(products)))
"""
_SEED_WITHIN_S: Final = 120


@dataclass(frozen=True, slots=True)
class Bout:
    """How much is measured: rounds in all, spread over several starts of all processes.

    How a process lies in memory makes it a few per cent cheaper or dearer for as long as it lives.
    """

    starts: int = 3
    rounds: int = 20
    calls: int = 800
    callers: int = 64
    products: int = 500
    users: int = 100

    @property
    def extent(self) -> Extent:
        """How much is there to be read."""
        return Extent(self.products, self.users, self.rounds, self.calls, self.callers)


@dataclass(slots=True)
class Pairs:
    """CPU time per call in microseconds, of each arm for both trees, round by round."""

    base: dict[str, list[float]] = field(default_factory=dict)
    head: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, base: Sequence[float], head: Sequence[float]) -> None:
        """Take in the rounds of one start."""
        self.base.setdefault(name, []).extend(base)
        self.head.setdefault(name, []).extend(head)

    def ratios(self, arm: str) -> list[float]:
        """Return, round by round, how many times as dear the arm is in the head."""
        return [head / base for head, base in zip(self.head[arm], self.base[arm], strict=True)]


@dataclass(frozen=True, slots=True)
class _Side:
    stores: Stores
    shop: Shop
    pids: Mapping[str, int]


def fought(base: Tree, head: Tree, bout: Bout) -> Pairs:
    """Measure both trees. Raises as ``duel`` does."""
    return asyncio.run(duel(base, head, bout))


async def duel(base: Tree, head: Tree, bout: Bout) -> Pairs:
    """Measure both trees, each on stores of its own.

    Raises ``NoTreeError``, ``NotWhatItClaimsError`` and ``CallsFailedError``.
    """
    pairs = Pairs()
    async with AsyncExitStack() as stores:
        owns = [await stores.enter_async_context(running_stores()) for _ in (base, head)]
        for tree, own in zip((base, head), owns, strict=True):
            await asyncio.to_thread(_seed, tree, own, bout)
        for start in range(bout.starts):
            sys.stderr.write(f"start {start + 1} of {bout.starts}\n")
            async with AsyncExitStack() as services:
                sides = [
                    await services.enter_async_context(_running(tree, own))
                    for tree, own in zip((base, head), owns, strict=True)
                ]
                await asyncio.to_thread(_rounds, sides, bout, start, pairs)
    return pairs


def _seed(tree: Tree, own: Stores, bout: Bout) -> None:
    with shop_on(own, tree.variables) as shop:
        done = subprocess.run(  # noqa: S603
            [
                *(tree.python, "-c", _SEED, own.mongo.uri, str(bout.products), str(bout.users)),
                *(INVENTORY_DATABASE, USER_DATABASE, ORDER_DATABASE),
            ],
            check=False,
            env=shop.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SEED_WITHIN_S,
        )
    if done.returncode:
        raise NoTreeError(f"{tree.name} cannot be seeded: {done.stdout.strip()[-1_000:]}")


@asynccontextmanager
async def _running(tree: Tree, own: Stores) -> AsyncIterator[_Side]:
    with shop_on(own, {**STEADY, **tree.variables}) as chosen:
        shop = replace(chosen, python=tree.python)
        async with running_services(own.folder, shop) as children:
            yield _Side(own, shop, {name: child.process.pid for name, child in children.items()})


def _rounds(sides: Sequence[_Side], bout: Bout, start: int, pairs: Pairs) -> None:
    with ExitStack() as stack:
        entered = [_entries(stack, side, bout) for side in sides]
        for entries, counts in entered:
            warm(list(entries.values()), counts, max(bout.products, bout.users))
        for number in range(bout.rounds):
            progress.show(f"round {number + 1} of {bout.rounds}")
            _round(random.Random(f"{start} {number}"), entered, bout.calls)  # noqa: S311
        progress.end()
        (base, _), (head, _) = entered
        for name in base:
            for side in (base, head):
                side[name].arm.check()
            pairs.add(name, base[name].arm.cpu_us, head[name].arm.cpu_us)


def _round(
    chance: random.Random,
    entered: Sequence[tuple[Mapping[str, Entry], StoreCounts]],
    calls: int,
) -> None:
    """Measure each arm once for both trees, in direct succession."""
    names = list(entered[0][0])
    for name in chance.sample(names, len(names)):
        for entries, counts in chance.sample(list(entered), 2):
            arm = entries[name].arm
            measure(arm, entries[name], counts, max(arm.at_once, round(calls * arm.share)))


def _entries(stack: ExitStack, side: _Side, bout: Bout) -> tuple[Mapping[str, Entry], StoreCounts]:
    counts = stack.enter_context(counted(side.stores.mongo.uri, side.stores.redis.uri))
    of_ours = of_services(stack, bout.extent, side.shop, side.pids)
    entries = [
        echo(stack, bout.extent, side.shop),
        *(entry for entries in of_ours.values() for entry in entries),
    ]
    return {entry.arm.name: entry for entry in entries}, counts
