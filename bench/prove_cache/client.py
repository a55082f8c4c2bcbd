"""A client process: ``python -m bench.prove_cache.client``.

It reads a ``Plan`` from standard input, reads and writes until its standard input ends, and tells
now and then on standard output how many reads it has made.
"""

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.prove_cache import questions, writers
from bench.prove_cache.calls import Desk, opened_twins
from bench.prove_cache.creator import Creator
from bench.prove_cache.plan import Plan
from bench.prove_cache.questions import Question, View
from bench.prove_cache.seeds import seeded
from bench.prove_cache.writers import Writer

_TELL_EVERY_S: Final = 0.25
_ZIPF_EXPONENT: Final = 1.1


def views(plan: Plan) -> list[View]:
    """Return the products that can be read."""
    assets = plan.assets
    stocked = [*assets.reserved, *(customer.buys for customer in assets.customers)]
    return [*map(questions.version, assets.updated), *map(questions.sold, stocked)]


def readable(plan: Plan) -> list[Question]:
    """Return everything that can be read, in an order that depends on the seed alone."""
    found = [
        *map(questions.product, views(plan)),
        *(questions.profile(customer.user_id) for customer in plan.assets.customers),
        *(questions.orders(customer.user_id) for customer in plan.assets.customers),
    ]
    seeded(plan.seed, "popularity").shuffle(found)
    return found


def zipf(count: int) -> list[float]:
    """Return how popular each of so many things is: few of them are read most of the time."""
    return [1 / place**_ZIPF_EXPONENT for place in range(1, count + 1)]


def work(desk: Desk) -> Iterator[Coroutine[Any, Any, None]]:
    """Return what this client does, all at once."""
    plan = desk.plan

    def writer(purpose: str, index: int = 0) -> Writer:
        return Writer(desk, seeded(plan.seed, plan.number, purpose, index), index)

    for index, product_id in enumerate(plan.assets.updated):
        if plan.is_mine(index):
            yield writers.update_product(writer("update", index), product_id)
    for index, stocked in enumerate(plan.assets.reserved):
        if plan.is_mine(index):
            yield writers.reserve(writer("reserve", index), stocked)
    for index, customer in enumerate(plan.assets.customers):
        if plan.is_mine(index):
            yield writers.rename(writer("rename", index), customer)
            yield writers.buy(writer("buy", index), customer)
    if plan.number == 0:
        yield Creator(writer("create")).run()
    found = readable(plan)
    for index in range(plan.readers):
        yield writers.read_on(writer("read", index), found, zipf(len(found)))
    yield writers.read_several(writer("several"), views(plan))


async def run(plan: Plan) -> None:
    """Read and write until standard input ends, then save the history."""
    async with opened_twins(plan.addresses) as twins:
        desk = Desk(plan, twins)
        telling = asyncio.create_task(_tell(desk))
        watching = asyncio.create_task(_stop_at_the_end(desk))
        async with asyncio.TaskGroup() as group:
            for coroutine in work(desk):
                group.create_task(coroutine)
        await watching
        await telling
    desk.history.save(Path(plan.history))


async def _stop_at_the_end(desk: Desk) -> None:
    await asyncio.to_thread(sys.stdin.buffer.read)
    desk.stopping.set()


async def _tell(desk: Desk) -> None:
    while not desk.stopping.is_set():
        sys.stdout.write(f"{len(desk.history.reads)}\n")
        sys.stdout.flush()
        await asyncio.sleep(_TELL_EVERY_S)


if __name__ == "__main__":
    uvloop.run(run(Plan.from_json(sys.stdin.buffer.readline())))
