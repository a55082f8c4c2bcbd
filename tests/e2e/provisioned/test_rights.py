"""The rights that services have in the stores are enough, and no more than that."""

import asyncio
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from pymongo import IndexModel
from pymongo.errors import OperationFailure
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError
from shop.inventory.v1 import inventory_pb2

from services.common.mongo import MongoDriver, MongoOptions, open_mongo
from services.provision.errors import ProvisionError
from services.provision.logins import LOGINS
from services.provision.mongo_users import ROOT, prepare_mongodb
from services.provision.redis_users import HEALTH
from services.stack.ports import LOOPBACK, claimed_ports
from tests.e2e.provisioned.conftest import (
    Client,
    Handout,
    ProvisionedShop,
    mongodb_as,
    redis_as,
    refused,
)
from tests.e2e.support.in_redis import in_redis
from tests.e2e.support.ledger import eventually

# The first test starts two stores and three services.
pytestmark = pytest.mark.timeout(240)

FORBIDDEN = 13
HEARD_WITHIN_S = 60.0


async def name_of(shop: ProvisionedShop, product_id: str) -> str:
    return (await (await shop.admin()).product(product_id)).name


async def test_services_sell_and_cache_without_asking_a_store_for_more_than_they_may(
    shop: ProvisionedShop, operator: Redis
) -> None:
    admin = await shop.admin()
    customer = await shop.customer()
    product_id = await admin.add_product(stock=5)

    order = await customer.buy({product_id: 2})

    assert [found.order_id for found in await customer.orders_of(customer.user_id)] == [
        order.order_id
    ]
    for key, read in (
        (f"product:{product_id}", lambda: customer.product(product_id)),
        (f"user_profile:{customer.user_id}", lambda: customer.profile(customer.user_id)),
        (f"user_orders:{customer.user_id}", lambda: customer.orders_of(customer.user_id)),
    ):
        await in_redis(operator, key, read)
    renamed = inventory_pb2.UpdateProductRequest(
        product=inventory_pb2.Product(product_id=product_id, name="Renamed"),
        update_mask=FieldMask(paths=["name"]),
    )
    await admin.call(shop.stubs.inventory.UpdateProduct, renamed)
    assert await name_of(shop, product_id) == "Renamed"
    assert await operator.acl_log() == []  # what was refused to anybody


async def test_a_change_that_no_service_made_is_heard_and_forgotten(
    shop: ProvisionedShop, operator: Redis, root: Client
) -> None:
    admin = await shop.admin()
    product_id = await admin.add_product()
    await in_redis(operator, f"product:{product_id}", lambda: admin.product(product_id))

    change = {"$set": {"name": "Other"}, "$inc": {"version": 1}}
    await root.shop_inventory.products.update_one({"_id": product_id}, change)

    async def heard() -> bool:
        return await name_of(shop, product_id) == "Other"

    await eventually(heard, HEARD_WITHIN_S, "the change stream did not tell")


async def test_everything_of_one_kind_can_be_forgotten_with_a_services_rights(
    shop: ProvisionedShop, operator: Redis, root: Client
) -> None:
    admin = await shop.admin()
    product_id = await admin.add_product()
    key = f"product:{product_id}"
    await in_redis(operator, key, lambda: admin.product(product_id))

    await root.shop_inventory.products.rename("products_renamed")
    await root.shop_inventory.products_renamed.rename("products")

    async def forgotten() -> bool:
        return await operator.get(key) is None

    await eventually(forgotten, HEARD_WITHIN_S, "not everything was forgotten")


@pytest.mark.parametrize("login", LOGINS, ids=lambda login: login.service)
async def test_a_service_reaches_no_data_of_another_and_takes_no_collection_away(
    login: Any, guarded_mongodb: Handout, shop: ProvisionedShop
) -> None:
    password = guarded_mongodb.passwords()[login.name]
    async with mongodb_as(guarded_mongodb, login.name, password) as client:
        own = client[login.database]
        others = [client[other.database] for other in LOGINS if other is not login]
        names = await own.list_collection_names()
        assert "cache_backstop" in names
        attempts = [
            *(other[name].find_one() for other in others for name in ("users", "orders")),
            client.admin["system.users"].find_one(),
            client.local["oplog.rs"].find_one(),
            own.drop_collection(names[0]),
            client.drop_database(login.database),
        ]
        for attempt in attempts:
            with pytest.raises(OperationFailure) as caught:
                await attempt
            assert caught.value.code == FORBIDDEN


@pytest.mark.parametrize("login", LOGINS, ids=lambda login: login.service)
async def test_a_service_reaches_no_key_of_another_in_redis_and_does_not_rule_it(
    login: Any, guarded_redis: Handout
) -> None:
    async with Redis.from_url(guarded_redis.read(login.service, "shop_redis_url")) as client:
        prefixes = [other.prefix for other in LOGINS if other is not login]
        forbidden = [
            *(("GET", f"{prefix}:1") for prefix in prefixes),
            *(("DEL", f"{{{prefix}:1}}:lease") for prefix in prefixes),
            *(("PUBLISH", f"invalidated:{prefix}", "*") for prefix in prefixes),
            *(("EVAL", "return redis.call('GET', KEYS[1])", "1", f"{p}:1") for p in prefixes),
            ("FLUSHALL",),
            ("CONFIG", "GET", "*"),
            ("ACL", "LIST"),
            ("KEYS", "*"),
        ]
        for command in forbidden:
            with pytest.raises(NoPermissionError):
                await client.execute_command(*command)  # type: ignore[no-untyped-call]


async def test_a_service_brings_its_collections_up_to_date_with_its_rights(
    guarded_mongodb: Handout,
) -> None:
    uri = guarded_mongodb.read("user", "shop_mongo_uri")
    options = MongoOptions(uri, MongoDriver.PYMONGO, timeout_ms=10_000)
    async with open_mongo(options, LOGINS[0].database) as mongo:
        for field in ("first", "second"):
            await mongo.prepare(
                "of_the_next_release",
                schema={"bsonType": "object", "required": [field]},
                indexes=[IndexModel(field)],
            )


async def test_redis_answers_nobody_without_a_name_and_the_health_check_a_ping(
    guarded_redis: Handout,
) -> None:
    async with Redis(host=LOOPBACK, port=guarded_redis.redis_port) as stranger:
        with pytest.raises(AuthenticationError):
            await stranger.ping()
    async with redis_as(guarded_redis, HEALTH) as health:
        assert await health.ping()
        with pytest.raises(NoPermissionError):
            await health.get("product:1")


async def test_mongodb_answers_nobody_without_a_name(
    guarded_mongodb: Handout, root: Client
) -> None:
    async with Client(LOOPBACK, guarded_mongodb.mongodb_port, directConnection=True) as stranger:
        with pytest.raises(OperationFailure) as caught:
            await stranger.shop_user.users.find_one()
        assert caught.value.code == FORBIDDEN
        with pytest.raises(OperationFailure):
            await stranger.admin.command("createUser", "intruder", pwd="x", roles=["root"])


async def test_another_start_gives_users_back_their_rights_and_their_present_passwords(
    guarded_mongodb: Handout, root: Client
) -> None:
    port = guarded_mongodb.mongodb_port
    login = LOGINS[0]
    passwords = guarded_mongodb.passwords()
    await root.admin.command("updateUser", login.name, pwd="changed", roles=[])
    await root.admin.command("updateRole", login.name, privileges=[])
    assert await refused(mongodb_as(guarded_mongodb, login.name, passwords[login.name]))

    await asyncio.to_thread(prepare_mongodb, port, f"{LOOPBACK}:{port}", LOGINS, passwords)

    async with mongodb_as(guarded_mongodb, login.name, passwords[login.name]) as client:
        await client[login.database].users.find_one()


async def test_data_of_another_vault_are_told_apart_and_left_alone(
    guarded_mongodb: Handout, root: Client
) -> None:
    port = guarded_mongodb.mongodb_port
    passwords = {**guarded_mongodb.passwords(), ROOT: "another"}
    with pytest.raises(ProvisionError, match="another password of root"):
        await asyncio.to_thread(prepare_mongodb, port, f"{LOOPBACK}:{port}", LOGINS, passwords)
    assert not await refused(mongodb_as(guarded_mongodb, ROOT, guarded_mongodb.passwords()[ROOT]))


async def test_a_mongodb_that_never_answers_is_given_up() -> None:
    with claimed_ports(1) as (port,), pytest.raises(ProvisionError, match="not a primary"):
        await asyncio.to_thread(prepare_mongodb, port, f"{LOOPBACK}:{port}", LOGINS, {}, 0.1)
