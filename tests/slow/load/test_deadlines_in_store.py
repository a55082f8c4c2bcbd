"""A call that a store keeps waiting ends in time, and so does what MongoDB does for it."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from grpc import aio
from pymongo import AsyncMongoClient

from bench.proxy import opened_proxy
from services.common.mongo import MongoDriver
from tests.e2e.support.ledger import eventually
from tests.slow.load.conftest import Ports
from tests.slow.load.support.client import drive
from tests.slow.load.support.instance import GET, LIST, Stores, inventory
from tests.slow.load.support.slow_server import MAX_S, SLEEP_MS

LATE_S = 0.1  # 40 ms of the wheel, and the lag of two event loops
EARLY_S = 0.02  # clocks and timers are not exact
GONE_WITHIN_S = SLEEP_MS / 1000 / 3
CLIENTS_S = 0.25
REDIS_TIMEOUT_S = 0.5
CLIENT_WAITS_ON_S = 10.0


@asynccontextmanager
async def slow_server(transport: str, driver: str, stores: Stores) -> AsyncIterator[aio.Channel]:
    arguments = (transport, driver, stores.mongo_uri, stores.database)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.slow.load.support.slow_server",
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            port = int(await process.stdout.readline())
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await asyncio.wait_for(channel.channel_ready(), 30.0)
            yield channel
        process.stdin.close()
        async with asyncio.timeout(60):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("driver", [driver.value for driver in MongoDriver])
@pytest.mark.parametrize("client_s", [CLIENTS_S, None], ids=["client's", "server's"])
async def test_the_client_hears_of_its_deadline_and_the_operation_ends(
    transport: str, driver: str, client_s: float | None, stores: Stores
) -> None:
    found: list[dict[str, Any]] = [
        {"$currentOp": {}},
        {"$match": {"ns": f"{stores.database}.products", "op": "query"}},
    ]
    async with (
        AsyncMongoClient[dict[str, Any]](stores.mongo_uri) as client,
        slow_server(transport, driver, stores) as channel,
    ):

        async def running() -> bool:
            return bool(await (await client.admin.aggregate(found)).to_list())

        async def over() -> bool:
            return not await running()

        async def call() -> tuple[bool, float]:
            """Return whether MongoDB was at the call, and how late its client heard of the end."""
            method: Any = channel.unary_unary(GET)
            begun = time.perf_counter()
            pending = asyncio.ensure_future(_refusal(method(b"", timeout=client_s)))
            was_at_it = False
            while not was_at_it and not pending.done():
                was_at_it = await running()
            error = await pending
            late_s = time.perf_counter() - begun - (client_s or MAX_S)
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            await eventually(over, GONE_WITHIN_S, "the operation lives on")
            return was_at_it, late_s

        await call()  # the service is connected to MongoDB after this
        was_at_it, late_s = await call()
        assert was_at_it
        assert late_s < LATE_S


async def test_a_handler_that_waits_for_something_else_ends_after_the_longest_it_may_take(
    transport: str, stores: Stores
) -> None:
    async with slow_server(transport, MongoDriver.PYMONGO.value, stores) as channel:
        method: Any = channel.unary_unary(LIST)

        begun = time.perf_counter()
        error = await _refusal(method(b"", timeout=MAX_S + CLIENT_WAITS_ON_S))
        late_s = time.perf_counter() - begun - MAX_S
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert -EARLY_S < late_s < LATE_S


async def test_reads_wait_for_a_hung_redis_no_longer_than_twice_its_timeout(
    transport: str, ports: Ports, folder: Path, stores: Stores
) -> None:
    redis = urlsplit(stores.redis_url)
    where = ports.rpc, ports.metrics
    async with opened_proxy(redis.hostname or "127.0.0.1", redis.port or 6379) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}{redis.path}"
        async with inventory(
            folder,
            replace(stores, redis_url=url),
            where,
            transport,
            SHOP_CACHE="redis",
            SHOP_REDIS_TIMEOUT_MS=str(int(REDIS_TIMEOUT_S * 1000)),
        ) as service:
            load = asyncio.create_task(drive(service.reads(3.0, callers=8)))
            await eventually(lambda: service.has_served(1), 60.0, "nobody is served")
            proxy.hold()
            outcome = await load
            assert outcome.failures == {}, outcome.said
            assert REDIS_TIMEOUT_S <= max(outcome.accepted) < 2 * REDIS_TIMEOUT_S + LATE_S


async def _refusal(call: Any) -> aio.AioRpcError:
    with pytest.raises(aio.AioRpcError) as refused:
        await call
    return refused.value
