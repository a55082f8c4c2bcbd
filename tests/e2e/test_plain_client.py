"""The acceptance test of the shop: clients made only from ``proto/``, and the three keys."""

import asyncio
import json
import os
import sys
import sysconfig
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from shop.order.v1 import order_pb2

from services.stack.services import SERVICES, ServicePorts
from services.stack.settings import PROJECT
from tests import readme
from tests.e2e.support import plain_client
from tests.e2e.support.in_redis import in_redis
from tests.e2e.support.people import Admin, unique
from tests.e2e.support.running_shop import RunningShop

TTL_S = 300


@pytest.fixture
async def seen(shop: RunningShop, product_id: str, tmp_path: Path) -> dict[str, Any]:
    """What the plain client got."""
    path = os.pathsep.join([str(PROJECT / "proto"), sysconfig.get_path("purelib")])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-S",  # without the .pth file that makes the services importable
        plain_client.__file__,
        shop.settings.user,
        shop.settings.inventory,
        shop.settings.order,
        product_id,
        unique("plain"),
        env={"PYTHONPATH": path, "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        stdout=PIPE,
        stderr=PIPE,
    )
    output, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    result: dict[str, Any] = json.loads(output)
    return result


async def test_a_plain_client_buys_and_the_three_keys_are_in_redis(
    seen: dict[str, Any], shop: RunningShop, product_id: str, redis_url: str
) -> None:
    await shop.ledger.at_rest(product_id)  # what goes on after the answer takes no key away
    assert not seen["knows_services"]
    assert seen["status"] == "ORDER_STATUS_CONFIRMED"
    assert seen["total"] == 2 * 1_999
    assert seen["stock"] == 8
    assert seen["listed"] == [seen["order_id"]]

    user_id = seen["user_id"]
    admin = await shop.admin()
    async with Redis.from_url(redis_url) as redis:
        cached = {}
        for key, read in (
            (f"user_profile:{user_id}", lambda: admin.profile(user_id)),
            (f"product:{product_id}", lambda: admin.product(product_id)),
            (f"user_orders:{user_id}", lambda: admin.orders_of(user_id)),
        ):
            raw, ttl_s = await in_redis(redis, key, read)
            assert 0 < ttl_s <= TTL_S
            envelope = json.loads(raw)
            assert envelope["key"] == key
            cached[key.partition(":")[0]] = envelope["value"]

    assert cached["user_profile"]["username"] == seen["username"]
    assert "password" not in json.dumps(cached["user_profile"])
    assert cached["product"]["stock"] == 8
    assert [order["order_id"] for order in cached["user_orders"]["items"]] == seen["listed"]


async def test_the_client_of_the_readme_buys_a_lamp_and_lists_its_order(
    shop: RunningShop, admin: Admin
) -> None:
    lamp = await admin.add_product(name="Desk Lamp")
    program = readme.client()
    for service in SERVICES:
        usual = f"127.0.0.1:{getattr(ServicePorts(), service)}"
        assert program.count(usual) == 1
        program = program.replace(usual, shop.settings.target(service))
    said: list[Any] = []

    await asyncio.to_thread(exec, program, {"print": said.append})

    bought, (listed,) = said
    assert bought == listed
    assert bought.status == order_pb2.ORDER_STATUS_CONFIRMED
    assert [line.product_id for line in bought.lines] == [lamp]
