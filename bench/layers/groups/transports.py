"""A whole RPC, by transport: an empty one, one with the chain, a near read, and a naive server.

64 calls are under way at a time, over four connections. The client is a process of its own; what
counts as CPU is the server's.
"""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from bench.arms import ECHO, NAIVE_CACHED, NEAR, Arm
from bench.cache_shop import INVENTORY_DATABASE, Stores, reading_products, shop_on
from bench.layers.contest import Group
from bench.layers.members import Member
from bench.layers.remote import Remote, connected
from bench.layers.setting import Setting
from bench.servers import started
from services.stack.folder import DataFolder
from services.stack.services import running_service

_LAYERS: Final = {"nothing round it": "none", "whole chain": "full"}
_TRANSPORTS: Final = ("native", "grpcio")
_NAIVE: Final = "grpcio, GetProduct cached naively"
_KEYS: Final = range(16)
_VISITS: Final = 256


def _empty(transport: str, layers: str) -> str:
    return f"{transport}, empty, {layers}"


def _near(transport: str) -> str:
    return f"{transport}, GetProduct near"


@asynccontextmanager
async def _opened(setting: Setting) -> AsyncIterator[Sequence[Member]]:
    async with AsyncExitStack() as stack:
        yield [
            *[
                await _empty_calls(stack, setting, transport, layers)
                for transport in _TRANSPORTS
                for layers in _LAYERS
            ],
            *[await _near_reads(stack, setting, transport) for transport in _TRANSPORTS],
            await _naive_reads(stack, setting),
        ]


async def _empty_calls(
    stack: AsyncExitStack, setting: Setting, transport: str, layers: str
) -> Member:
    arguments = ["empty", transport, _LAYERS[layers]]
    server = stack.enter_context(started("bench.rpc_server", arguments))
    return await _member(
        stack, setting, Arm(_empty(transport, layers), ECHO), server.pid, server.address
    )


async def _near_reads(stack: AsyncExitStack, setting: Setting, transport: str) -> Member:
    stores = await setting.stores()
    folder = DataFolder(Path(stack.enter_context(tempfile.TemporaryDirectory())))
    folder.prepare()
    own = Stores(folder, stores.mongo, stores.redis)
    shop = stack.enter_context(shop_on(own, {"SHOP_TRANSPORT": transport}))
    service = await stack.enter_async_context(running_service(folder, shop, "inventory"))
    arm = Arm(_near(transport), NEAR)
    return await _member(stack, setting, arm, service.process.pid, shop.inventory)


async def _naive_reads(stack: AsyncExitStack, setting: Setting) -> Member:
    stores = await setting.stores()
    arguments = ["cached", INVENTORY_DATABASE, stores.mongo.uri, stores.redis.uri]
    server = stack.enter_context(started("bench.naive_server", arguments))
    return await _member(stack, setting, Arm(_NAIVE, NAIVE_CACHED), server.pid, server.address)


async def _member(
    stack: AsyncExitStack, setting: Setting, arm: Arm, pid: int, address: str
) -> Remote:
    member = connected(
        stack,
        arm,
        reading_products(address, _KEYS),
        await setting.processes([pid]),
        await setting.counts(),
    )
    await member.visit(_VISITS)
    return member


GROUPS: Final = (
    Group(
        "whole RPC",
        (
            *(_empty(transport, layers) for transport in _TRANSPORTS for layers in _LAYERS),
            *map(_near, _TRANSPORTS),
            _NAIVE,
        ),
        _opened,
    ),
)
