"""What a hit costs by the number of keys, and what memory the near cache takes."""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Final

from redis import Redis

from bench.arms import ECHO, NEAR, REDIS, UNCACHED, Arm
from bench.cache_report import ratio
from bench.cache_shop import FRESHNESS, Stores, reading_products, shop_on, shuffled
from bench.load import driving
from bench.racing import GENTLE, entered, race
from bench.servers import Server
from bench.stores import counted
from services.stack.services import Shop, running_service
from services.stack.stores import Store

NEAR_BYTES: Final = 64 * 1024 * 1024
_UNLIMITED: Final = {"SHOP_CONCURRENCY_LIMIT": "off"}
_AMPLE_BYTES_PER_KEY: Final = 8_192
_REDIS_MEMORY: Final = "3gb"  # the stack's own limit is meant for a demonstration
_WARMING_CALLS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Size:
    """What a number of keys has shown; ``grown`` is the memory in bytes that their fill took."""

    keys: int
    arms: Sequence[Arm]
    grown: int


@dataclass(frozen=True, slots=True)
class Bench:
    """What all sizes are measured with."""

    stores: Stores
    echo: Server
    rounds: int
    calls: int


async def measure_keys(bench: Bench, sizes: Sequence[int]) -> str:
    """Return the tables as Markdown."""
    measured = [await _measured(bench, keys) for keys in sizes]
    full = await _filled(bench, max(sizes))
    return (
        f"{table(measured)}\n\nA near cache of SHOP_NEAR_BYTES={NEAR_BYTES:,} that is filled with "
        f"{max(sizes):,} products: the service grew by {full:,} bytes.\n"
    )


def table(sizes: Sequence[Size]) -> str:
    """Return what a hit costs by the number of keys: CPU, and the ratio to the empty call."""
    lines = [
        "| keys | near | redis | uncached | memory taken |",
        "|---:|---:|---:|---:|---:|",
    ]
    for size in sizes:
        echo, *others = size.arms
        cells = [f"{median(arm.cpu_us):.1f} us ({ratio(arm, echo):.2f})" for arm in others]
        lines.append(f"| {size.keys:,} | {' | '.join(cells)} | {size.grown / 2**20:,.0f} MiB |")
    return "\n".join(lines)


async def _measured(bench: Bench, keys: int) -> Size:
    ample = {
        **_UNLIMITED,
        "SHOP_NEAR_ENTRIES": str(keys + keys // 10),
        "SHOP_NEAR_BYTES": str(max(NEAR_BYTES, keys * _AMPLE_BYTES_PER_KEY)),
    }
    _empty(bench.stores.redis)
    with shop_on(bench.stores, ample) as shop:
        async with running_service(bench.stores.folder, shop, "inventory") as child:
            pid = child.process.pid
            return await asyncio.to_thread(_race, bench, shop, pid, keys)


def _race(bench: Bench, shop: Shop, pid: int, keys: int) -> Size:
    grown = _fill(shop, pid, keys)
    arms = [Arm("echo", ECHO), Arm("near", NEAR), Arm("redis", REDIS), Arm("uncached", UNCACHED)]
    slices = _each_slice_twice(shuffled(keys), bench.rounds, bench.calls)
    with ExitStack() as stack:
        counts = stack.enter_context(counted(bench.stores.mongo.uri, bench.stores.redis.uri))
        entries = [
            entered(stack, arms[0], bench.echo.pid, reading_products(bench.echo.address, [0]))
        ]
        for arm in arms[1:]:
            target = reading_products(shop.inventory, slices, FRESHNESS[arm.name])
            entries.append(entered(stack, arm, pid, target))
        race(entries, counts, bench.rounds, bench.calls, visiting=True)
    return Size(keys, arms, grown)


def _each_slice_twice(numbers: Sequence[int], slices: int, size: int) -> list[int]:
    """Return the numbers in slices, each of which comes twice: to be visited, and measured."""
    endless = cycle(numbers)
    found: list[int] = []
    for _ in range(slices):
        found += list(islice(endless, size)) * 2
    return found


async def _filled(bench: Bench, keys: int) -> int:
    """Return by how many bytes a service with a near cache of the usual size grows."""
    usual = {**_UNLIMITED, "SHOP_NEAR_ENTRIES": str(keys), "SHOP_NEAR_BYTES": str(NEAR_BYTES)}
    with shop_on(bench.stores, usual) as shop:
        async with running_service(bench.stores.folder, shop, "inventory") as child:
            return await asyncio.to_thread(_fill, shop, child.process.pid, keys)


def _fill(shop: Shop, pid: int, keys: int) -> int:
    """Visit all keys and return by how many bytes the service has grown."""
    sys.stderr.write(f"visiting {keys:,} keys\n")
    with driving(reading_products(shop.inventory, [0], FRESHNESS["redis"])) as driver:
        driver.make(_WARMING_CALLS, GENTLE)
    before = _resident_bytes(pid)
    with driving(reading_products(shop.inventory, shuffled(keys))) as driver:
        driver.make(keys, GENTLE)
    return _resident_bytes(pid) - before


def _empty(redis: Store) -> None:
    with Redis.from_url(redis.uri) as client:
        client.config_set("maxmemory", _REDIS_MEMORY)
        client.flushall()


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
