"""Whole reads through the real services, cached against uncached, on the native transport.

The metadata of a call decides what may answer it. 64 are under way at a time; of orders 16, because
64 may keep the event loop busy for longer than the service puts up with before it sheds load.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from bench.arms import NAIVE_CACHED, NAIVE_UNCACHED, NEAR, REDIS, UNCACHED, Arm
from bench.cache_shop import (
    FRESHNESS,
    INVENTORY_DATABASE,
    listing_orders,
    reading_products,
    shuffled,
)
from bench.layers.contest import Group
from bench.layers.members import Member
from bench.layers.remote import Remote, connected
from bench.layers.setting import READ_PRODUCTS, READING_USERS, Setting
from bench.load import Target
from bench.servers import started

_CLAIMS: Final = {"near": NEAR, "redis": REDIS, "uncached": UNCACHED}
_NAIVE_CLAIMS: Final = {"cached": NAIVE_CACHED, "uncached": NAIVE_UNCACHED}
_FEW: Final = 16


def _naive(mode: str) -> str:
    return f"naive server, {mode}"


@asynccontextmanager
async def _products(setting: Setting) -> AsyncIterator[Sequence[Member]]:
    shop = (await setting.shop()).shop
    async with AsyncExitStack() as stack:
        members = []
        for layer, claim in _CLAIMS.items():
            numbers = shuffled(READ_PRODUCTS)
            target = reading_products(shop.inventory, numbers, FRESHNESS[layer])
            members.append(
                await _of_service(stack, setting, "inventory", Arm(layer, claim), target)
            )
            await members[-1].visit(READ_PRODUCTS)
        for mode in _NAIVE_CLAIMS:
            members.append(await _of_naive(stack, setting, mode))
            await members[-1].visit(READ_PRODUCTS)
        yield members


@asynccontextmanager
async def _orders(setting: Setting) -> AsyncIterator[Sequence[Member]]:
    shop = (await setting.shop()).shop
    async with AsyncExitStack() as stack:
        members = []
        for layer, claim in _CLAIMS.items():
            target = listing_orders(shop, READING_USERS, FRESHNESS[layer])
            arm = Arm(layer, claim, at_once=_FEW)
            members.append(await _of_service(stack, setting, "order", arm, target))
            await members[-1].visit(READING_USERS)
        yield members


async def _of_service(
    stack: AsyncExitStack, setting: Setting, service: str, arm: Arm, target: Target
) -> Remote:
    pid = (await setting.shop()).pids[service]
    processes, counts = await setting.processes([pid]), await setting.counts()
    return connected(stack, arm, target, processes, counts)


async def _of_naive(stack: AsyncExitStack, setting: Setting, mode: str) -> Remote:
    stores = await setting.stores()
    arguments = [mode, INVENTORY_DATABASE, stores.mongo.uri, stores.redis.uri]
    server = stack.enter_context(started("bench.naive_server", arguments))
    processes, counts = await setting.processes([server.pid]), await setting.counts()
    target = reading_products(server.address, shuffled(READ_PRODUCTS))
    return connected(stack, Arm(_naive(mode), _NAIVE_CLAIMS[mode]), target, processes, counts)


GROUPS: Final = (
    Group("cached product", (*_CLAIMS, *map(_naive, _NAIVE_CLAIMS)), _products),
    Group("cached user_orders", tuple(_CLAIMS), _orders),
)
