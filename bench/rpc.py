"""What a call costs the server, per transport and per interceptor: ``python -m bench rpc``.

Every variant is a server process of its own. The rounds go through all variants in turn, so that
what the machine does beside hits them alike; a variant's figure is the median over the rounds,
and its ratio the median of the ratios to the empty handler on the same transport, round by round.
The calls per second are those of h2load, where it is installed.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from shop.inventory.v1.inventory_pb2 import GetProductRequest

from bench import h2load, progress
from bench.cpu import cpu_seconds
from bench.load import AT_ONCE, Target, driving
from bench.seeds import nth_id, seed_products
from bench.servers import Server, started
from services.stack.folder import DataFolder
from services.stack.stores import running_mongod, running_redis

DATABASE: Final = "bench_inventory"
METHOD: Final = "/shop.inventory.v1.InventoryService/GetProduct"
INTERCEPTORS: Final = (
    "MetricsInterceptor",
    "RequestLogInterceptor",
    "ErrorMappingInterceptor",
    "DrainInterceptor",
    "ConcurrencyLimitInterceptor",
    "DeadlineInterceptor",
    "AuthorizationInterceptor",
    "CacheControlInterceptor",
)


@dataclass(slots=True)
class Variant:
    """A kind of server and what was measured of it, round by round."""

    handler: str
    transport: str
    layers: str
    cpu_us: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What is measured, in words."""
        layers = {"none": "bare", "full": "whole chain"}.get(self.layers, f"+ {self.layers}")
        return f"{self.transport:7} {self.handler:8} {layers}"


def variants() -> list[Variant]:
    """Return what is compared."""
    ends = [
        Variant(handler, transport, layers)
        for transport in ("native", "grpcio")
        for handler in ("empty", "product")
        for layers in ("none", "full")
    ]
    return ends + [Variant("empty", "native", name) for name in INTERCEPTORS]


def served(variant: Variant, stores: list[str]) -> AbstractContextManager[Server]:
    """Run a variant's server until the end of the block."""
    arguments = [variant.handler, variant.transport, variant.layers, DATABASE, *stores]
    return started("bench.rpc_server", arguments)


def measure(compared: list[Variant], stores: list[str], rounds: int, calls: int) -> None:
    """Fill in what each variant costs."""
    message = GetProductRequest(product_id=nth_id(0)).SerializeToString()
    with ExitStack() as stack:
        servers = [stack.enter_context(served(v, stores)) for v in compared]
        running = []
        for v, server in zip(compared, servers, strict=True):
            target = Target(server.address, METHOD, [message])
            driver = stack.enter_context(driving(target))
            driver.make(calls // 4)
            running.append((v, server.pid, target, driver))
        for number in range(rounds):
            progress.show(f"round {number + 1} of {rounds}")
            for v, pid, target, driver in running:
                before = cpu_seconds(pid)
                outcome = driver.make(calls)
                v.cpu_us.append((cpu_seconds(pid) - before) / calls * 1e6)
                if h2load.is_installed():
                    v.rate.append(h2load.calls_per_second(target, calls))
                else:
                    v.rate.append(calls / outcome.seconds)
        progress.end()


def table(compared: list[Variant]) -> str:
    """Return the figures as Markdown."""
    base = {v.transport: v.cpu_us for v in compared if (v.handler, v.layers) == ("empty", "none")}
    lines = [
        "| transport, handler, layers | CPU per call | ratio to bare empty | calls/s |",
        "|---|---:|---:|---:|",
    ]
    for v in compared:
        ratios = [mine / empty for mine, empty in zip(v.cpu_us, base[v.transport], strict=True)]
        lines.append(
            f"| {v.name} | {median(v.cpu_us):.1f} us | {median(ratios):.2f} "
            f"| {median(v.rate):,.0f} |"
        )
    return "\n".join(lines)


async def _measured(rounds: int, calls: int, *, empty_only: bool) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = DataFolder(Path(name))
        folder.prepare()
        async with running_mongod(folder) as mongo, running_redis(folder) as redis:
            await seed_products(mongo.uri, DATABASE, 1)
            compared = [v for v in variants() if v.handler == "empty" or not empty_only]
            await asyncio.to_thread(measure, compared, [mongo.uri, redis.uri], rounds, calls)
    client = ", calls/s by h2load" if h2load.is_installed() else ""
    head = f"{rounds} rounds of {calls:,} calls each, {AT_ONCE} at a time{client}"
    return f"{head}\n\n{table(compared)}\n"


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench rpc", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=6_000, help="per variant and round")
    parser.add_argument("--empty-only", action="store_true", help="leave the product reads out")
    given = parser.parse_args(argv)
    found = asyncio.run(_measured(given.rounds, given.calls, empty_only=given.empty_only))
    sys.stdout.write(found)
    return 0
