"""Stores that are down, hung or not there at all."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from redis.asyncio import Redis
from shop.inventory.v1 import inventory_pb2
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from shop.order.v1 import order_pb2
from shop.user.v1 import user_pb2

from bench.figures import figures_at
from bench.proxy import Proxy
from services.common.ids import new_id
from services.stack.ports import claimed_ports
from services.stack.processes import running
from services.stack.services import ServicePorts
from tests.e2e.support.contracts import SERVICES
from tests.e2e.support.in_redis import in_redis
from tests.e2e.support.ledger import Stock, eventually
from tests.e2e.support.people import Caller, unique
from tests.e2e.support.persistence import persistently
from tests.e2e.support.refusals import Refused, refused
from tests.e2e.support.running_shop import RunningShop
from tests.e2e.support.shop_front import ask_health
from tests.e2e.test_refusals import confirm_throttled, throttled

INTERNALS = ("127.0.0.1", "mongo", "redis", "Traceback", "pymongo", "motor", "Error", "rs0")
LONGEST_CALL_S = 9.0  # a client gives up after 10 s
MISSES_MONGODB = {"SHOP_MONGO_TIMEOUT_MS": "1000", "SHOP_MONGO_GRACE_S": "0"}

pytestmark = pytest.mark.timeout(240)

# That MongoDB is gone is found before the calls that need it are over. A pause of the machine looks
# the same to a shop that is so impatient.
impatient = pytest.mark.parametrize("fragile_variables", [MISSES_MONGODB], ids=["impatient"])


def confirm_nothing_leaks(refusal: Refused, *more: str) -> None:
    told = repr(replace(refusal, code=grpc.StatusCode.OK))
    assert [word for word in (*INTERNALS, *more) if word in told] == []


async def becomes(shop: RunningShop, service: str, component: str, health: str) -> None:
    async def is_so() -> bool:
        return await shop.health(service, component) == health

    await eventually(is_so, 60.0, f"{component or 'overall'} of {service} is not {health}")


async def test_every_service_serves_and_says_what_it_depends_on(shop: RunningShop) -> None:
    for name, service in SERVICES.items():
        for component in ("", service.full_name, "mongodb", "redis"):
            await becomes(shop, name, component, "SERVING")
        refusal = await refused(ask_health(shop.channels[name], "no.such.Service"))
        assert refusal.code is grpc.StatusCode.NOT_FOUND


@pytest.fixture
async def stranded(shop: RunningShop, tmp_path: Path) -> AsyncIterator[aio.Channel]:
    """An Inventory service whose MongoDB was never there."""
    with claimed_ports(2) as (port, nothing):
        settings = replace(
            shop.settings,
            mongo_uri=f"mongodb://secret-user:secret-password@127.0.0.1:{nothing}/",
            ports=ServicePorts(inventory=port),
            variables={**shop.settings.variables, "SHOP_MONGO_TIMEOUT_MS": "300"},
        )
        command = [sys.executable, "-m", "services.inventory"]
        environment = settings.environment("inventory")
        async with (
            running("inventory", command, tmp_path / "log", environment),
            aio.insecure_channel(settings.inventory) as channel,
        ):
            await asyncio.wait_for(channel.channel_ready(), 60)
            yield channel


async def test_a_service_without_mongodb_says_so_and_leaks_nothing(stranded: aio.Channel) -> None:
    service = SERVICES["inventory"].full_name
    product_id = new_id()  # of which no other test has left in Redis that it is unknown
    for _ in range(3):
        assert await ask_health(stranded) == "NOT_SERVING"
        assert await ask_health(stranded, service) == "NOT_SERVING"
        stub = InventoryServiceStub(stranded)
        request = inventory_pb2.GetProductRequest(product_id=product_id)
        refusal = await refused(stub.GetProduct(request, timeout=10))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "STORE_UNAVAILABLE",
        )
        refusal.confirm_complete("shop.inventory.v1")
        confirm_nothing_leaks(refusal, "secret")


@impatient
async def test_a_shop_that_loses_mongodb_stops_serving_and_serves_again_when_it_is_back(
    fragile_shop: RunningShop, mongo_proxy: Proxy
) -> None:
    shop = fragile_shop
    admin = await persistently(shop.admin)
    customer = await persistently(shop.customer)
    product = await persistently(admin.add_product)
    await mongo_proxy.cut()

    for name, service in SERVICES.items():
        await becomes(shop, name, "", "NOT_SERVING")
        assert await shop.health(name, service.full_name) == "NOT_SERVING"
        await becomes(shop, name, "redis", "SERVING")
    started = time.monotonic()
    refusals = await asyncio.gather(
        refused(shop.nobody.product(product)),
        refused(shop.nobody.log_in(customer.username, customer.password)),
        refused(customer.buy({product: 1})),
        refused(admin.add_product()),
    )
    assert time.monotonic() - started < LONGEST_CALL_S
    for refusal in refusals:
        assert refusal.code is grpc.StatusCode.UNAVAILABLE
        confirm_nothing_leaks(refusal)

    mongo_proxy.mend()
    for name in SERVICES:
        await becomes(shop, name, "", "SERVING")
    order = await persistently(lambda: customer.buy({product: 1}, "back"))
    assert order.status == order_pb2.ORDER_STATUS_CONFIRMED
    assert await shop.ledger.at_rest(product) == Stock(available=9, reserved=0, sold=1)


@impatient
async def test_a_call_to_a_hung_mongodb_ends_in_time(
    fragile_shop: RunningShop, mongo_proxy: Proxy
) -> None:
    shop = fragile_shop
    await shop.restart("order", **MISSES_MONGODB, SHOP_RECONCILE_AGE_S="1")
    customer = await persistently(shop.customer)
    product = await persistently((await persistently(shop.admin)).add_product)
    request_id = unique("hung")
    mongo_proxy.hold()

    started = time.monotonic()
    refusals = await asyncio.gather(
        refused(shop.nobody.product(product)),
        refused(customer.buy({product: 1}, request_id)),
        refused(customer.profile(customer.user_id)),
    )
    assert time.monotonic() - started < LONGEST_CALL_S
    for refusal in refusals:
        assert refusal.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
        refusal.confirm_complete(refusal.domain or "")
        confirm_nothing_leaks(refusal)

    mongo_proxy.release()
    for name in SERVICES:
        await becomes(shop, name, "", "SERVING")
    stock = await shop.ledger.at_rest(product)
    assert (stock.total, stock.reserved) == (10, 0)


async def test_a_shop_that_has_just_lost_mongodb_still_serves_what_is_cached(
    fragile_shop: RunningShop, mongo_proxy: Proxy
) -> None:
    shop = fragile_shop
    await shop.restart("inventory", SHOP_MONGO_GRACE_S="600", SHOP_REDIS_TIMEOUT_MS="5000")
    product = await (await shop.admin()).add_product()
    seen = await shop.nobody.product(product)
    await mongo_proxy.cut()

    await becomes(shop, "inventory", "mongodb", "NOT_SERVING")
    assert await shop.health("inventory") == "SERVING"
    assert await shop.nobody.product(product) == seen


async def test_a_shop_without_redis_goes_on_and_still_throttles(
    fragile_shop: RunningShop, redis_proxy: Proxy
) -> None:
    shop = fragile_shop
    await redis_proxy.cut()
    for name, service in SERVICES.items():
        await becomes(shop, name, "redis", "NOT_SERVING")
        await becomes(shop, name, "", "SERVING")
        await becomes(shop, name, service.full_name, "SERVING")

    product = await (await shop.admin()).add_product()
    customer = await shop.customer()
    assert (await customer.profile(customer.user_id)).username == customer.username
    order = await customer.buy({product: 3})
    assert order.status == order_pb2.ORDER_STATUS_CONFIRMED
    assert (await shop.nobody.product(product)).stock == 7
    assert await customer.orders_of(customer.user_id) == [order]
    await customer.cancel(order.order_id)
    assert (await shop.ledger.at_rest(product)).available == 10
    confirm_throttled(await throttled(shop.nobody, [customer.username], customer.password))


async def test_a_hung_redis_costs_little_time(
    fragile_shop: RunningShop, redis_proxy: Proxy
) -> None:
    shop = fragile_shop
    product = await (await shop.admin()).add_product()
    customer = await shop.customer()
    redis_proxy.hold()

    started = time.monotonic()
    assert (await customer.profile(customer.user_id)).username == customer.username
    assert (await shop.nobody.product(product)).stock == 10
    assert await customer.orders_of(customer.user_id) == []
    order = await customer.buy({product: 1})

    assert order.status == order_pb2.ORDER_STATUS_CONFIRMED
    assert time.monotonic() - started < LONGEST_CALL_S


@pytest.mark.parametrize(
    "fragile_variables", [{"SHOP_REDIS_TIMEOUT_MS": "5000"}], ids=["patient with Redis"]
)
async def test_a_write_whose_deadline_passes_while_redis_hangs_ends_with_it_in_every_service(
    fragile_shop: RunningShop, redis_proxy: Proxy
) -> None:
    shop, admin, customer = fragile_shop, await fragile_shop.admin(), await fragile_shop.customer()
    product_id = await admin.add_product()
    name = unique("renamed")
    product = inventory_pb2.Product(product_id=product_id, name=name)
    user = user_pb2.User(user_id=customer.user_id, full_name=name)
    item = order_pb2.OrderItem(product_id=product_id, quantity=1)
    writes: Mapping[str, tuple[Caller, Any, Any]] = {
        "inventory": (
            admin,
            shop.inventory.UpdateProduct,
            inventory_pb2.UpdateProductRequest(product=product),
        ),
        "user": (
            customer,
            shop.users.UpdateUserProfile,
            user_pb2.UpdateUserProfileRequest(user=user),
        ),
        "order": (
            customer,
            shop.orders.CreateOrder,
            order_pb2.CreateOrderRequest(request_id=unique("late"), items=[item]),
        ),
    }
    redis_proxy.hold()
    for service, (caller, method, request) in writes.items():
        with pytest.raises(aio.AioRpcError) as late:
            await caller.call(method, request, timeout_s=0.5)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await eventually(
            partial(nothing_is_in_flight, getattr(shop.settings.ports, f"{service}_metrics")),
            4.0,
            f"{service} goes on",
        )
    redis_proxy.release()

    async def is_seen() -> bool:
        seen = (await shop.nobody.product(product_id)).name
        return seen == (await customer.profile(customer.user_id)).full_name == name

    await eventually(is_seen, 60.0, "what was written is not seen")


async def nothing_is_in_flight(port: int) -> bool:
    return not any((await figures_at(port, "grpc_server_in_flight", "grpc_method")).values())


async def test_a_cached_value_that_is_garbage_or_of_somebody_else_is_not_shown(
    shop: RunningShop, redis_url: str, customer: Caller, product_id: str
) -> None:
    other = await shop.nobody.product(await (await shop.admin()).add_product())
    true = await shop.nobody.product(product_id)
    async with Redis.from_url(redis_url) as redis:
        foreign, _ = await in_redis(
            redis, f"product:{other.product_id}", lambda: shop.nobody.product(other.product_id)
        )
        for value in (b"", b"garbage", b"[]", b"null", b"{}", b'{"product_id":1}', foreign):
            await redis.set(f"product:{product_id}", value, ex=300)
            assert await shop.nobody.product(product_id) == true


async def test_a_registration_says_nothing_of_its_password(shop: RunningShop) -> None:
    password = unique("secret-password")
    username = unique("quiet")
    request = user_pb2.RegisterUserRequest(
        username=username, email="not an address", password=password, full_name="Quiet"
    )

    refusal = await refused(shop.nobody.call(shop.users.RegisterUser, request))

    assert password not in repr(refusal)
    assert password not in shop.log("user")
