"""Instances of a service replaced one by one, as an orchestrator does, while another calls it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from grpc import aio
from shop.inventory.v1.inventory_pb2 import GetProductRequest
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub

from services.common.rpc.channel import open_channel
from services.common.settings import PREFIX
from services.stack.credentials import open_credentials
from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports
from services.stack.processes import Child
from services.stack.services import ServicePorts, Shop, running_service
from tests.e2e.support.ledger import eventually
from tests.e2e.support.shop_front import ask_health
from tests.slow.load.conftest import Ports
from tests.slow.load.support.instance import SERVICE, UNHURRIED, Stores, inventory
from tests.unit.common.names import names_of

OLD, NEW = ("127.0.0.1", "127.0.0.2"), ("127.0.0.3", "127.0.0.4")
CALLERS, PAUSE_S = 6, 0.01
BETWEEN_S = 0.5
NOTICE_S, LONG_NOTICE_S = 1.0, 4.0


async def test_who_has_given_notice_serves_on_for_as_long_as_it_says(
    transport: str, ports: Ports, stores: Stores, folder: Path
) -> None:
    where = ports.rpc, ports.metrics
    async with (
        inventory(
            folder, stores, where, transport, **UNHURRIED, SHOP_DRAIN_NOTICE_S=str(LONG_NOTICE_S)
        ) as service,
        aio.insecure_channel(service.address) as channel,
    ):
        stub: Any = InventoryServiceStub(channel)
        assert await ask_health(channel) == "SERVING"

        async def has_said_so() -> bool:
            return await ask_health(channel) == "NOT_SERVING"

        service.child.process.send_signal(signal.SIGTERM)
        await eventually(has_said_so, LONG_NOTICE_S, "it does not say that it stops")
        product = GetProductRequest(product_id=stores.product_id)
        assert (await stub.GetProduct(product, timeout=LONG_NOTICE_S)).product
        assert await service.child.process.wait() == 0


@asynccontextmanager
async def instance(
    path: Path, stores: Stores, address: str, port: int, transport: str
) -> AsyncIterator[Child]:
    folder = DataFolder(path / address)
    folder.prepare()
    inherited = {name: v for name, v in os.environ.items() if not name.startswith(PREFIX)}
    shop = Shop(
        mongo_uri=stores.mongo_uri,
        redis_url=stores.redis_url,
        credentials=open_credentials(folder.secrets),
        ports=ServicePorts(inventory=port),
        host=address,
        variables={
            **inherited,
            "SHOP_BIND_HOST": address,
            **UNHURRIED,
            "SHOP_TRANSPORT": transport,
            "SHOP_INVENTORY_DATABASE": stores.database,
            "SHOP_DRAIN_NOTICE_S": str(NOTICE_S),
            "SHOP_LOG_LEVEL": "warning",
        },
    )
    async with running_service(folder, shop, "inventory") as child:
        yield child


async def test_no_call_of_another_service_fails_while_all_instances_are_replaced(
    transport: str, stores: Stores, folder: Path
) -> None:
    over = asyncio.Event()
    request = GetProductRequest(product_id=stores.product_id)

    async def call(stub: Any) -> None:
        while not over.is_set():
            assert (await stub.GetProduct(request, timeout=10.0)).product
            await asyncio.sleep(PAUSE_S)

    with claimed_ports(1) as (port,):
        async with AsyncExitStack() as life:
            names = await life.enter_async_context(names_of(*OLD))

            async def started(address: str) -> Child:
                return await life.enter_async_context(
                    instance(folder, stores, address, port, transport)
                )

            replicas = await asyncio.gather(*(started(address) for address in (*OLD, *NEW)))
            channel = await life.enter_async_context(
                open_channel(names.target(port), SERVICE, ["GetProduct"])
            )
            async with asyncio.TaskGroup() as calling:
                for _ in range(CALLERS):
                    calling.create_task(call(InventoryServiceStub(channel)))
                for old, new, leaving in zip(OLD, NEW, replicas, strict=False):
                    names.addresses.append(new)
                    await asyncio.sleep(BETWEEN_S)
                    names.addresses.remove(old)
                    await asyncio.sleep(BETWEEN_S)
                    leaving.process.send_signal(signal.SIGTERM)
                    assert await leaving.process.wait() == 0
                    await asyncio.sleep(BETWEEN_S)
                over.set()
