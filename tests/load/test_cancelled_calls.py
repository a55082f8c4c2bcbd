"""Clients that give up on three calls of ten leave nothing behind.

``LOAD_CANCEL_SECONDS`` sets how long they go on; 4 seconds unless set.
"""

import os
import sys
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient

from tests.e2e.support.ledger import eventually
from tests.load.conftest import Ports
from tests.load.support.client import drive
from tests.load.support.instance import Instance, Stores, inventory, open_files, resident_bytes

SECONDS = float(os.environ.get("LOAD_CANCEL_SECONDS", "4"))
CALLERS = 12
OF_TEN = 3
MORE_FILES = 16  # sockets to the stores may be replaced, and a page of figures is being read
MORE_BYTES = 8 * 1024 * 1024


async def connections(mongo_uri: str) -> int:
    async with AsyncMongoClient[dict[str, object]](mongo_uri) as client:
        status = await client.admin.command({"serverStatus": 1})
        return int(status["connections"]["current"])


async def searches(stores: Stores) -> int:
    """How many searches MongoDB is at; watching for changes goes on for ever."""
    pipeline: list[dict[str, Any]] = [
        {"$currentOp": {}},
        {"$match": {"ns": f"{stores.database}.products", "active": True}},
    ]
    async with AsyncMongoClient[dict[str, object]](stores.mongo_uri) as client:
        return len(await (await client.admin.aggregate(pipeline)).to_list())


async def test_calls_given_up_leave_no_task_no_connection_and_no_memory(
    transport: str, ports: Ports, folder: Path, stores: Stores
) -> None:
    async with inventory(folder, stores, (ports.rpc, ports.metrics), transport) as service:
        half = service.searches(SECONDS / 2, 5, callers=CALLERS, cancel_every=OF_TEN)
        await drive(service.searches(1.0, 5, callers=CALLERS, cancel_every=OF_TEN))
        await at_rest(service)
        first_files, first_connections = (
            open_files(service.pid),
            await connections(stores.mongo_uri),
        )
        outcomes = [await drive(half)]
        await at_rest(service)
        middle_bytes = resident_bytes(service.pid)
        outcomes.append(await drive(half))
        await at_rest(service)

        growth = resident_bytes(service.pid) - middle_bytes
        sys.stderr.write(f"\n{transport}: {outcomes[1].codes}, {growth / 2**20:+.1f} MiB later\n")
        for outcome in outcomes:
            made = sum(outcome.codes.values())
            assert outcome.codes["CANCELLED"] > 0.15 * made
            assert set(outcome.codes) == {"OK", "CANCELLED"}
        assert open_files(service.pid) <= first_files + MORE_FILES
        assert await connections(stores.mongo_uri) <= first_connections + MORE_FILES
        assert await searches(stores) == 0
        assert growth <= MORE_BYTES
        cancelled = await service.figure("grpc_server_handled_total", grpc_code="CANCELLED")
        assert cancelled > 0


async def at_rest(service: Instance) -> None:
    async def rests() -> bool:
        busy = [
            await service.figure(name)
            for name in ("grpc_server_in_flight", "shop_calls_let_in", "shop_calls_queued")
        ]
        return not any(busy)

    await eventually(rests, 5.0, "calls that nobody waits for are still in flight")
