"""What a call costs the server, per transport and per interceptor: ``make bench-rpc``.

Every variant is a server process of its own. The rounds go through all variants in turn, so that
what the machine does beside hits them alike; a variant's figure is the median over the rounds,
and its ratio the median of the ratios to the empty handler on the same transport, round by round.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from shop.inventory.v1.inventory_pb2 import GetProductRequest

from bench.cpu import cpu_seconds
from bench.empty_server import PRODUCT_ID
from bench.load import CALLS_PER_CONNECTION, CONNECTIONS, Target, client_name, drive
from services.common.clock import utc_now
from services.common.mongo import MongoDriver, MongoOptions, open_mongo
from services.inventory.repository import prepare_schema
from services.stack.folder import DataFolder
from services.stack.stores import running_mongod, running_redis

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


@contextmanager
def served(variant: Variant, stores: list[str]) -> Iterator[tuple[int, Target]]:
    """Run a variant's server and yield its process id and where to call it."""
    arguments = [variant.handler, variant.transport, variant.layers, *stores]
    with started("bench.rpc_server", arguments) as server:
        yield server


@contextmanager
def started(module: str, arguments: Sequence[str]) -> Iterator[tuple[int, Target]]:
    """Run a server module and yield its process id and where to call it."""
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        port = int(process.stdout.readline())
        message = GetProductRequest(product_id=PRODUCT_ID).SerializeToString()
        yield process.pid, Target(f"127.0.0.1:{port}", METHOD, message)
        process.stdin.close()


def measure(compared: list[Variant], stores: list[str], rounds: int, calls: int) -> None:
    """Fill in what each variant costs."""
    with ExitStack() as stack:
        running = [(v, *stack.enter_context(served(v, stores))) for v in compared]
        for _, _, target in running:
            drive(target, calls // 4)
        for number in range(rounds):
            sys.stderr.write(f"\rround {number + 1} of {rounds}")
            for variant, pid, target in running:
                before = cpu_seconds(pid)
                elapsed = drive(target, calls)
                variant.cpu_us.append((cpu_seconds(pid) - before) / calls * 1e6)
                variant.rate.append(calls / elapsed)
        sys.stderr.write("\n")


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


async def _seed(mongo_uri: str) -> None:
    async with open_mongo(
        MongoOptions(mongo_uri, MongoDriver.PYMONGO, 10_000), "bench_inventory"
    ) as mongo:
        await prepare_schema(mongo)
        await mongo.collection("products").insert_one(
            {
                "_id": PRODUCT_ID,
                "sku": "LMP-0001",
                "name": "Desk lamp",
                "category": "lighting",
                "description": "A lamp for a desk, with an arm that stays where it is put. " * 3,
                "price": {"currency_code": "EUR", "minor_units": 4_900},
                "stock": 120,
                "reserved": 0,
                "sold": 0,
                "version": 1,
                "tags": ["lamp", "desk"],
                "create_time": utc_now(),
                "update_time": utc_now(),
            }
        )


async def _main(rounds: int, calls: int, *, empty_only: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = DataFolder(Path(name))
        folder.prepare()
        async with running_mongod(folder) as mongo, running_redis(folder) as redis:
            await _seed(mongo.uri)
            compared = [v for v in variants() if v.handler == "empty" or not empty_only]
            await asyncio.to_thread(measure, compared, [mongo.uri, redis.uri], rounds, calls)
    sys.stdout.write(
        f"{rounds} rounds of {calls:,} calls each, {CONNECTIONS * CALLS_PER_CONNECTION} at a time, "
        f"made by {client_name()}\n\n{table(compared)}\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.rpc", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=6_000, help="per variant and round")
    parser.add_argument("--empty-only", action="store_true", help="leave the product reads out")
    arguments = parser.parse_args()
    asyncio.run(_main(arguments.rounds, arguments.calls, empty_only=arguments.empty_only))
