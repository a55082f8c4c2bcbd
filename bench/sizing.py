"""What a call costs each process that has a part in it: ``make bench ARGS=sizing``.

The services, MongoDB and Redis are real ones, one process each, started for the measurement, with
1,000 products and 200 users of 20 orders. Every kind of call is made by a client that is a process
of its own, and what each process used of CPU meanwhile, threads included, is divided by the calls.
Work that a call leaves behind counts: the clock is read again once things have settled. What a
process uses when nothing is asked of it is measured first and taken off. After a round that is not
counted, each goes through all kinds in turns; a figure is the median of the rounds.

Every call must be answered with OK, and no checkout be rejected; otherwise there are no figures.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from pymongo import MongoClient

from bench import progress
from bench.cache_shop import ORDER_DATABASE, Stores, running_stores, seed_shop, shop_on
from bench.cpu import cpu_seconds
from bench.load import CallsFailedError, Driver, driving
from bench.sizing_works import PRODUCTS, USERS, Work, works
from services.stack.services import Shop, running_services

PROCESSES: Final = ("user", "inventory", "order", "mongod", "redis")
_IDLE_S: Final = 3.0
_SETTLED_AFTER_S: Final = 0.5

Spent = Mapping[str, float]
"""Seconds of CPU by process."""


class CheckoutsRejectedError(Exception):
    """Some checkouts did not become orders."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a kind of call cost, in microseconds of CPU per call, by process and round."""

    work: Work
    rounds: list[dict[str, float]] = field(default_factory=list)

    def of(self, process: str) -> float:
        """Return the median of the rounds, in microseconds per call."""
        return median(costs[process] for costs in self.rounds)


@dataclass(frozen=True, slots=True)
class Meter:
    """Reads the CPU clocks of processes; ``idle`` is what each uses in a second of rest."""

    pids: Mapping[str, int]
    idle: Spent

    @classmethod
    def on(cls, pids: Mapping[str, int]) -> "Meter":
        """Return a meter that has seen the processes at rest."""
        meter = cls(pids, dict.fromkeys(pids, 0.0))
        with meter.reading() as spent:
            time.sleep(_IDLE_S)
        return cls(pids, {name: seconds / _IDLE_S for name, seconds in spent.items()})

    @contextmanager
    def reading(self) -> Iterator[dict[str, float]]:
        """Yield what holds, after the block, the CPU seconds used in it beyond those of rest."""
        spent: dict[str, float] = {}
        begun, before = time.monotonic(), self._read()
        yield spent
        elapsed_s = time.monotonic() - begun
        spent.update(
            (name, max(now - before[name] - self.idle[name] * elapsed_s, 0.0))
            for name, now in self._read().items()
        )

    def _read(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self.pids.items()}


def table(costs: Sequence[Cost]) -> str:
    """Return what each kind of call costs each process, in Markdown."""
    lines = [
        "| CPU per call, us | User | Inventory | Order | MongoDB | Redis | together |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for cost in costs:
        parts = [cost.of(process) for process in PROCESSES]
        cells = " | ".join(f"{part:,.0f}" for part in (*parts, sum(parts)))
        lines.append(f"| {cost.work.name} | {cells} |")
    return "\n".join(lines)


async def measure(rounds: int, calls: int) -> str:
    """Return what each kind of call costs."""
    async with running_stores() as own:
        await seed_shop(own, PRODUCTS, USERS)
        with shop_on(own, {"SHOP_CONCURRENCY_LIMIT": "off"}) as shop:
            async with running_services(own.folder, shop) as children:
                pids = {name: child.process.pid for name, child in children.items()}
                pids |= {
                    "mongod": own.mongo.child.process.pid,
                    "redis": own.redis.child.process.pid,
                }
                costs = await asyncio.to_thread(_race, own, shop, pids, rounds, calls)
    return table(costs)


def _race(
    own: Stores, shop: Shop, pids: Mapping[str, int], rounds: int, calls: int
) -> Sequence[Cost]:
    costs = [Cost(work) for work in works(shop, rounds + 1, calls)]
    with ExitStack() as stack:
        racers = [(cost, stack.enter_context(driving(cost.work.target))) for cost in costs]
        for cost, driver in racers:
            driver.make(cost.work.calls, cost.work.at_once)
        meter = Meter.on(pids)
        for number in range(rounds):
            for cost, driver in random.sample(racers, len(racers)):
                progress.show(f"round {number + 1} of {rounds}: {cost.work.name}")
                cost.rounds.append(_round(meter, cost.work, driver))
    progress.end()
    _confirm_sold(own)
    return costs


def _round(meter: Meter, work: Work, driver: Driver) -> dict[str, float]:
    with meter.reading() as spent:
        driver.make(work.calls, work.at_once)
        time.sleep(_SETTLED_AFTER_S)
    return {name: seconds / work.calls * 1e6 for name, seconds in spent.items()}


def _confirm_sold(own: Stores) -> None:
    with MongoClient[dict[str, object]](own.mongo.uri) as client:
        orders = client[ORDER_DATABASE]["orders"]
        rejected = orders.count_documents({"status": {"$ne": "CONFIRMED"}})
    if rejected:
        raise CheckoutsRejectedError(f"{rejected} checkouts were not confirmed")


def main(argv: Sequence[str]) -> int:
    """Measure, say what was found, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench sizing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=8_000, help="per round, of the cheapest kind")
    given = parser.parse_args(argv)
    try:
        found = asyncio.run(measure(given.rounds, given.calls))
    except (CallsFailedError, CheckoutsRejectedError) as error:
        sys.stderr.write(f"\nno figures: {error}\n")
        return 1
    sys.stdout.write(
        f"{given.rounds} rounds, {given.calls:,} calls of the cheapest kind\n\n{found}\n"
    )
    return 0
