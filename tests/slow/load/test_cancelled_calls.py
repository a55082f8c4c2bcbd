"""Clients that give up on three calls of ten leave nothing behind.

``LOAD_CANCEL_SECONDS`` sets how long they go on at a time; 2 seconds unless set.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient

from tests.e2e.support.ledger import eventually
from tests.slow.load.conftest import Ports
from tests.slow.load.support.client import drive
from tests.slow.load.support.instance import (
    UNHURRIED,
    Instance,
    Stores,
    inventory,
    open_files,
    resident_bytes,
)

SECONDS = float(os.environ.get("LOAD_CANCEL_SECONDS", "2"))
CALLERS = 12
OF_TEN = 3
ROUNDS = 3
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


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a service at rest keeps, and how many connections MongoDB has."""

    files: int
    connections: int
    resident: int

    @classmethod
    async def of(cls, service: Instance, mongo_uri: str) -> "Holdings":
        await at_rest(service)
        return cls(
            open_files(service.pid), await connections(mongo_uri), resident_bytes(service.pid)
        )

    def has_grown(self, since: "Holdings") -> bool:
        return (
            self.files > since.files + MORE_FILES
            or self.connections > since.connections + MORE_FILES
            or self.resident > since.resident + MORE_BYTES
        )


async def test_calls_given_up_leave_no_task_no_connection_and_no_memory(
    transport: str, ports: Ports, folder: Path, stores: Stores
) -> None:
    where = ports.rpc, ports.metrics
    async with inventory(folder, stores, where, transport, **UNHURRIED) as service:
        giving_up = service.searches(SECONDS, 5, callers=CALLERS, cancel_every=OF_TEN)
        await drive(giving_up)  # what is kept for use again is there after this
        held = [await Holdings.of(service, stores.mongo_uri)]
        for _ in range(ROUNDS):
            outcome = await drive(giving_up)
            assert outcome.codes["CANCELLED"] > 0.15 * sum(outcome.codes.values())
            assert set(outcome.codes) == {"OK", "CANCELLED"}
            held.append(await Holdings.of(service, stores.mongo_uri))
        sys.stderr.write(f"\n{transport}: {outcome.codes}, {held}\n")
        assert not held[-1].has_grown(held[0]), held

        async def searches_none() -> bool:
            return await searches(stores) == 0

        await eventually(searches_none, 30.0, "MongoDB is still at it")
        assert await service.figure("grpc_server_handled_total", grpc_code="CANCELLED") > 0


async def at_rest(service: Instance) -> None:
    async def rests() -> bool:
        busy = [
            await service.figure(name)
            for name in ("grpc_server_in_flight", "shop_calls_let_in", "shop_calls_queued")
        ]
        return not any(busy)

    await eventually(rests, 30.0, "calls that nobody waits for are still in flight")
