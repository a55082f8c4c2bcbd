"""However many readers meet a cold key in however many processes, MongoDB is asked once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc import aio
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from shop.inventory.v1 import inventory_pb2
from shop.inventory.v1.inventory_pb2 import GetProductRequest
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub

from services.stack.ports import claimed_ports
from tests.slow.load.support.instance import UNHURRIED, Stores, inventory, stocked
from tests.slow.load.support.narrow_store import NarrowStore

if TYPE_CHECKING:
    from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceAsyncStub

READERS = 1_000
PROCESSES = 2
TIMEOUT_S = 30.0
# Long enough for all readers to have asked before the answer is there, and a fraction of the second
# after which somebody else may load.
QUERY_TAKES_S = 0.2


@asynccontextmanager
async def two_processes(
    path: Path, stores: Stores, transport: str
) -> AsyncIterator[Sequence["InventoryServiceAsyncStub"]]:
    async with AsyncExitStack() as opened:
        ports = opened.enter_context(claimed_ports(PROCESSES))
        stubs: list[InventoryServiceAsyncStub] = []
        for port in ports:
            service = await opened.enter_async_context(
                # None of the readers is to be refused for being one too many.
                inventory(path / str(port), stores, (port, 0), transport, **UNHURRIED)
            )
            channel = await opened.enter_async_context(aio.insecure_channel(service.address))
            await channel.channel_ready()
            stubs.append(InventoryServiceStub(channel))
        yield stubs


@asynccontextmanager
async def profiled(stores: Stores) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """Make MongoDB write down every operation on the database until the end."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(stores.mongo_uri)
    async with client:
        database = client[stores.database]
        await database.command("profile", 2)
        try:
            yield database
        finally:
            await database.command("profile", 0)
            await database["system.profile"].drop()


async def reads_of_products(database: AsyncDatabase[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the reads of the products that were written down; a change stream is none."""
    found = await database["system.profile"].find({"ns": f"{database.name}.products"}).to_list()
    commands = [entry["command"] for entry in found if entry["op"] in {"query", "command"}]
    return [
        command
        for command in commands
        if "find" in command
        or ("aggregate" in command and "$changeStream" not in command["pipeline"][0])
    ]


async def reads_that_a_crowd_costs(
    transport: str, mongo_uri: str, redis_url: str, path: Path
) -> list[dict[str, Any]]:
    """Let a thousand readers meet a cold product; return the reads of products they cost."""
    stores = await stocked(mongo_uri, redis_url, products=1)
    slow = NarrowStore(mongo_uri, stores.product_id.encode(), READERS, QUERY_TAKES_S)
    async with (
        slow.opened(),
        two_processes(path, replace(stores, mongo_uri=slow.uri), transport) as stubs,
        profiled(stores) as database,
    ):
        request = GetProductRequest(product_id=stores.product_id)

        async def product(number: int) -> inventory_pb2.Product:
            answer = await stubs[number % PROCESSES].GetProduct(request, timeout=TIMEOUT_S)
            return answer.product

        products = await asyncio.gather(*map(product, range(READERS)))
        assert {product.product_id for product in products} == {stores.product_id}
        return await reads_of_products(database)


async def test_a_thousand_readers_of_a_cold_product_in_two_processes_cost_one_query(
    transport: str, mongo_uri: str, redis_url: str, tmp_path: Path
) -> None:
    reads = await reads_that_a_crowd_costs(transport, mongo_uri, redis_url, tmp_path)
    assert len(reads) == 1, reads
