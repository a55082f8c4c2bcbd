"""A backup made of a running shop, and a shop that begins again with it.

The backup is a copy of the files of a secondary, stopped for as long as copying takes.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis
from shop.order.v1 import order_pb2

from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports
from services.stack.stores import running_mongod, running_redis
from tests.e2e.support.failover_load import (
    BUYERS,
    INITIAL_STOCK,
    KEEPERS,
    Load,
    Told,
    confirm_registered,
    confirm_same,
    prepared_load,
)
from tests.e2e.support.ledger import eventually
from tests.e2e.support.running_shop import RunningShop, opened_shop
from tests.replica_set import ReplicaSet, member_in, running_replica_set

WITHIN_S = 60.0
LIVES_MS = 300_000
UNHEARD_OF = 1_234_567
VARIABLES: Any = {
    "SHOP_CACHE_CONTROL": "any",
    "SHOP_RECONCILE_AGE_S": "5",
    "SHOP_RECONCILE_INTERVAL_S": "0.5",
}

pytestmark = pytest.mark.timeout(300)


async def copied(source: DataFolder, path: Path) -> DataFolder:
    """Copy the files of a server that is stopped."""
    target = DataFolder(path)
    target.prepare()
    await asyncio.to_thread(shutil.copytree, source.mongodb, target.mongodb, dirs_exist_ok=True)
    return target


async def backed_up(replica_set: ReplicaSet, load: Load, path: Path) -> tuple[DataFolder, Told]:
    """Return a copy made under load, and what had been acknowledged before its point."""
    async with load.running() as told:
        await load.acknowledged_after(time.monotonic(), WITHIN_S)
        before = deepcopy(told)
        secondary, _ = await replica_set.secondaries()
        await replica_set.caught_up(secondary)
        await secondary.stop()
        stopped = deepcopy(told)
        copy = await copied(secondary.folder, path)
        await secondary.start()
        await eventually(lambda: all_changed(told, stopped), WITHIN_S, "not everything changes")
    return copy, before


async def all_changed(told: Told, since: Told) -> bool:
    """Whether all that is shown has changed: more than once, for the first may be in the copy."""
    return (
        (len(told.kept), len(told.named)) == (KEEPERS, BUYERS)
        and all(stock >= since.kept.get(name, 0) + 2 for name, stock in told.kept.items())
        and all(number >= since.named.get(who, 0) + 2 for who, number in told.named.items())
        and len(told.orders) > len(since.orders) + BUYERS
    )


async def without_history(backup: DataFolder, path: Path) -> DataFolder:
    """Return a copy that has forgotten which set it was of, and the changes that led to it."""
    copy = await copied(backup, path)
    with claimed_ports(1) as (port,):
        alone = member_in(path, port)
        try:
            await alone.start(alone=True)
            async with alone.client as client:
                await client.drop_database("local")
            await alone.stop()
        finally:
            await alone.kill()
    return copy


@asynccontextmanager
async def shop_on(
    files: DataFolder, redis_url: str, like: RunningShop, path: Path
) -> AsyncIterator[RunningShop]:
    """Run the shop on a set of one server with these files."""
    async with (
        running_mongod(files) as store,
        opened_shop(
            path,
            mongo_uri=store.uri,
            redis_url=redis_url,
            ledger_uri=store.uri,
            databases=like.databases,
            keys=like.folder.secrets,
            **VARIABLES,
        ) as shop,
    ):
        yield shop


async def confirm_whole(shop: RunningShop, load: Load, before: Told) -> None:
    """Confirm that the shop has what was acknowledged before the backup, and adds up."""
    stock = await shop.ledger.at_rest(load.article, within_s=60.0)
    assert stock.total == INITIAL_STOCK
    orders = await shop.ledger.orders()
    assert all(order["settled"] for order in orders)
    assert stock.sold == sum(order["status"] == "CONFIRMED" for order in orders)
    stored = {order["request_id"]: order for order in orders}
    assert len(stored) == len(orders)
    for name, order in before.orders.items():
        confirm_same(stored[name], order)
    await confirm_registered(shop, before.registered)


async def shown(shop: RunningShop, load: Load) -> Mapping[str, object]:
    """What the shop shows of all that is cached and had changed after the backup."""
    buyers = [shop.bearer(buyer.token) for buyer in load.buyers]
    return {
        **{name: (await shop.nobody.product(name)).stock for name in (*load.kept, load.article)},
        **{
            buyer.user_id: (
                (await caller.profile(buyer.user_id)).full_name,
                [order.order_id for order in await caller.orders_of(buyer.user_id)],
            )
            for buyer, caller in zip(load.buyers, buyers, strict=True)
        },
    }


async def true(shop: RunningShop, load: Load) -> Mapping[str, object]:
    """The same, as MongoDB has it."""
    newest = {buyer.user_id: await shop.ledger.newest(buyer.user_id) for buyer in load.buyers}
    return {
        **{name: (await shop.ledger.stock(name)).available for name in (*load.kept, load.article)},
        **{
            user_id: (await shop.ledger.full_name(user_id), orders)
            for user_id, orders in newest.items()
        },
    }


async def confirm_restored(shop: RunningShop, load: Load, before: Told, uri: str) -> None:
    """Confirm that a shop is whole, shows what is, sells, and watches what changes."""
    await confirm_whole(shop, load, before)
    assert await shown(shop, load) == await true(shop, load)
    order = await shop.bearer(load.buyers[0].token).buy({load.article: 1})
    assert order.status == order_pb2.ORDER_STATUS_CONFIRMED

    (article, *_) = load.kept
    client: AsyncMongoClient[Mapping[str, Any]] = AsyncMongoClient(uri)
    async with client:
        change = {"$set": {"stock": UNHEARD_OF}, "$inc": {"version": 1}}
        await client[shop.databases.inventory].products.update_one({"_id": article}, change)

    async def is_seen() -> bool:
        return (await shop.nobody.product(article)).stock == UNHEARD_OF

    await eventually(is_seen, WITHIN_S, "a change that no service made is not seen")


async def test_a_copy_of_a_secondary_made_under_load_is_a_whole_shop_again(
    tmp_path: Path,
) -> None:
    redis_folder = DataFolder(tmp_path / "redis")
    redis_folder.prepare()
    async with running_redis(redis_folder) as store, Redis.from_url(store.uri) as redis:
        async with (
            running_replica_set(tmp_path / "set") as replica_set,
            opened_shop(
                tmp_path / "shop",
                mongo_uri=replica_set.uri,
                redis_url=store.uri,
                ledger_uri=replica_set.uri,
                **VARIABLES,
            ) as shop,
        ):
            load = await prepared_load([shop])
            backup, before = await backed_up(replica_set, load, tmp_path / "backup")
            await load.confirm_kept(shop)
            assert before.orders
            assert before.registered
            lost = await shown(shop, load)
        newer: Any = {key: await redis.dump(key) for key in await redis.keys("*:*")}

        as_new = await without_history(backup, tmp_path / "as-new")
        for name, files in (("as-new", as_new), ("as-it-was", backup)):
            for key, value in newer.items():
                await redis.restore(key, LIVES_MS, value, replace=True)
            await redis.flushall()
            async with shop_on(files, store.uri, shop, tmp_path / f"shop-{name}") as restored:
                seen = await shown(restored, load)
                assert {what for what in lost if seen[what] != lost[what]} == lost.keys()
                await confirm_restored(restored, load, before, restored.settings.mongo_uri)
