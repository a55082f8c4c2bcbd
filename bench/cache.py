"""What a read costs the server, from each layer of the cache and naively: ``make bench-cache``.

It measures and judges nothing: limits are the gate's (``bench/limits.toml``).

MongoDB, Redis and the services are real ones, started for the measurement, with 1,000 products and
300 users of 20 orders with three lines each. 64 callers read keys in a shuffled order, each equally
often; orders that are not near are read by 16, because 64 may keep the event loop busy for longer
than the service puts up with before it sheds load. The arms:

- ``echo``: the native server with the whole chain of interceptors and a handler that does nothing
  but answer with a product. It is what every other arm is compared with.
- ``near``, ``redis``, ``uncached``: the real service process, ``python -m services.<name>``, the
  same one for all three. The metadata of a request decides: none, ``cache-control: no-near``, or
  ``cache-control: no-cache``. Orders and profiles are read with a token of each user's own.
- ``naive cached``, ``naive uncached``: the service as tutorials write it, ``bench.naive_server``.

What is measured is the CPU time of the server process per call, threads included, and the calls per
second; the client is a process of its own that is cheaper than any server. Each round goes through
all arms in an order of its own, so that what the machine does beside hits them alike; a figure is
the median of the rounds, a ratio the median of the ratios round by round.

Nothing is taken for granted: every answer must be OK and have content, ``x-cache`` of every answer
must say what the arm claims (nearer never, farther for at most 2 %), and the counters of Redis and
MongoDB must bear it out, before the first round and after the last. Otherwise there are no figures.

With ``--keys`` it measures what a hit costs by the number of keys instead, with a near cache that
is large enough. Before each round the products that it reads are visited once, since nothing stays
in a cache for longer than 300 s. These services run without a concurrency limit: among so many
objects a full garbage collection of Python's may stop one for longer than the limit puts up with.
Then it fills a near cache of the usual size with the most keys, and tells what memory that took.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from bench.arms import Arm, NotWhatItClaimsError
from bench.cache_arms import Extent, echo, naive, of_services
from bench.cache_keys import Bench, measure_keys
from bench.cache_report import origins, table
from bench.cache_shop import (
    INVENTORY_DATABASE,
    Stores,
    running_stores,
    seed_shop,
    shop_on,
)
from bench.load import AT_ONCE, CallsFailedError
from bench.racing import race, warm
from bench.seeds import seed_products
from bench.servers import started
from bench.stores import counted
from services.stack.services import Shop, running_services


async def measure_arms(extent: Extent) -> str:
    """Return what each arm costs and where it was answered from."""
    async with running_stores() as own:
        await seed_shop(own, extent.products, extent.users)
        with shop_on(own, {}) as shop:
            async with running_services(own.folder, shop) as children:
                pids = {name: child.process.pid for name, child in children.items()}
                arms = await asyncio.to_thread(_race, extent, own, shop, pids)
    return f"{table(arms)}\n\n{origins(arms)}\n"


def _race(extent: Extent, own: Stores, shop: Shop, pids: Mapping[str, int]) -> list[Arm]:
    with ExitStack() as stack:
        counts = stack.enter_context(counted(own.mongo.uri, own.redis.uri))
        of_ours = of_services(stack, extent, shop, pids)
        entries = [
            echo(stack, extent),
            *of_ours.pop("GetProduct"),
            *(naive(stack, own, extent, mode) for mode in ("cached", "uncached")),
            *(entry for entries in of_ours.values() for entry in entries),
        ]
        warm(entries, counts, max(extent.products, extent.users))
        race(entries, counts, extent.rounds, extent.calls, visiting=False)
    return [entry.arm for entry in entries]


async def measure_sizes(extent: Extent, sizes: Sequence[int]) -> str:
    """Return what a hit costs by the number of keys."""
    async with running_stores() as own:
        await seed_products(own.mongo.uri, INVENTORY_DATABASE, max(sizes))
        with started("bench.rpc_server", ["empty", "native", "full"]) as echo:
            bench = Bench(own, echo, extent.rounds, extent.calls)
            return await measure_keys(bench, sizes)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main(argv: Sequence[str]) -> int:
    """Measure, say what was found, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench cache")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20_000, help="per arm and round")
    parser.add_argument("--products", type=int, default=1_000)
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--callers", type=int, default=AT_ONCE, help="at a time, a multiple of 4")
    parser.add_argument("--keys", type=_numbers, help="numbers of keys, by commas, to compare")
    given = parser.parse_args(argv)
    extent = Extent(given.products, given.users, given.rounds, given.calls, given.callers)
    try:
        found = asyncio.run(
            measure_sizes(extent, given.keys) if given.keys else measure_arms(extent)
        )
    except (NotWhatItClaimsError, CallsFailedError) as error:
        sys.stderr.write(f"\nno figures: {error}\n")
        return 1
    sys.stdout.write(
        f"{extent.rounds} rounds of {extent.calls:,} calls, {extent.callers} at a time\n\n{found}"
    )
    return 0
