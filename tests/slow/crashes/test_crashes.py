"""Processes that are killed in the middle of checkouts, and what is left of them."""

import asyncio
import random
from collections import Counter

import grpc
import pytest
from shop.order.v1 import order_pb2

from services.common.ids import new_id
from tests.e2e.support.ledger import Stock, eventually
from tests.e2e.support.people import Admin, Customer, unique
from tests.e2e.support.persistence import persistently
from tests.e2e.support.refusals import outcome, refused
from tests.e2e.support.running_shop import RunningShop

CONFIRMED = order_pb2.ORDER_STATUS_CONFIRMED
REJECTED = order_pb2.ORDER_STATUS_REJECTED
CHECKOUTS = 36
CLIENTS = 12
KILLS = 2
HASTY = {"SHOP_RECONCILE_AGE_S": "2", "SHOP_RECONCILE_INTERVAL_S": "0.25"}
chance = random.SystemRandom()

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def fragile_variables() -> dict[str, str]:
    """What is left behind is found soon."""
    return HASTY


@pytest.fixture
async def fragile_admin(fragile_shop: RunningShop) -> Admin:
    return await fragile_shop.admin()


@pytest.fixture
async def fragile_customer(fragile_shop: RunningShop) -> Customer:
    return await fragile_shop.customer("survivor")


@pytest.mark.parametrize("service", ["order", "inventory", "user"])
async def test_a_service_killed_during_checkouts_leaves_nothing_half_done(
    service: str, fragile_shop: RunningShop, fragile_admin: Admin, fragile_customer: Customer
) -> None:
    shop, customer = fragile_shop, fragile_customer
    initial = {await fragile_admin.add_product(stock=stock): stock for stock in (1_000, 24)}
    plenty, scarce = initial
    request_ids = [unique("burst") for _ in range(CHECKOUTS)]
    todo = iter(request_ids)
    answers: dict[str, order_pb2.Order] = {}

    async def client() -> None:
        for request_id in todo:
            answers[request_id] = await persistently(
                lambda request_id=request_id: customer.buy(  # type: ignore[misc]
                    {plenty: 2, scarce: 1}, request_id, timeout_s=5, wait_for_ready=True
                )
            )

    async def killer() -> None:
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.01, 0.15))
            await shop.kill(service)
            await shop.start(service, **HASTY)

    await asyncio.gather(killer(), *(client() for _ in range(CLIENTS)))

    stocks = {product: await shop.ledger.at_rest(product) for product in initial}
    orders = await shop.ledger.orders(user_id=customer.user_id)
    assert Counter(order["request_id"] for order in orders) == Counter(request_ids)
    assert all(order["settled"] for order in orders)
    by_request = {order["request_id"]: order for order in orders}
    for request_id, answer in answers.items():
        assert answer.status in {CONFIRMED, REJECTED}
        assert by_request[request_id]["status"] == order_pb2.OrderStatus.Name(
            answer.status
        ).removeprefix("ORDER_STATUS_")
    sold = sum(answer.status == CONFIRMED for answer in answers.values())
    assert stocks == {
        plenty: Stock(available=1_000 - 2 * sold, reserved=0, sold=2 * sold),
        scarce: Stock(available=24 - sold, reserved=0, sold=sold),
    }
    assert sold > 0


async def test_a_service_starts_while_the_transaction_of_a_killed_one_is_still_open(
    fragile_shop: RunningShop, fragile_admin: Admin
) -> None:
    shop = fragile_shop
    product = await fragile_admin.add_product()
    async with shop.ledger.open_transaction(product):
        await shop.kill("inventory")

        await shop.start("inventory", **HASTY)

        assert (await shop.nobody.product(product)).stock == 10
        assert await fragile_admin.add_product()


async def test_cancellations_interrupted_by_a_kill_give_all_stock_back_once(
    fragile_shop: RunningShop, fragile_admin: Admin, fragile_customer: Customer
) -> None:
    shop, customer = fragile_shop, fragile_customer
    await shop.restart("order")  # slow checkouts are not abandoned
    product = await fragile_admin.add_product(stock=50)
    orders = [await customer.buy({product: 1}) for _ in range(20)]
    assert {order.status for order in orders} == {CONFIRMED}

    async def kill() -> None:
        await asyncio.sleep(chance.uniform(0.0, 0.03))
        await shop.kill("order")
        await shop.start("order", **HASTY)

    async def cancel(order_id: str) -> order_pb2.Order:
        return await persistently(lambda: customer.cancel(order_id))

    _, *cancelled = await asyncio.gather(kill(), *(cancel(order.order_id) for order in orders))

    assert {o.status for o in cancelled if o} == {order_pb2.ORDER_STATUS_CANCELLED}
    assert await shop.ledger.at_rest(product) == Stock(available=50, reserved=0, sold=0)


@pytest.mark.parametrize("service", ["user", "inventory"])
async def test_a_checkout_whose_peer_is_down_fails_fast_and_succeeds_when_repeated(
    service: str, fragile_shop: RunningShop, fragile_admin: Admin, fragile_customer: Customer
) -> None:
    shop, customer = fragile_shop, fragile_customer
    await shop.restart("order", SHOP_RECONCILE_AGE_S="600")  # so that nobody else undoes it
    product = await fragile_admin.add_product(stock=10)
    request_id = unique("repeat")
    await shop.stop(service)

    refusal = await refused(customer.buy({product: 1}, request_id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "PEER_UNAVAILABLE")
    assert refusal.metadata is not None
    assert refusal.metadata["peer_reason"] == "UNAVAILABLE"  # DEADLINE_EXCEEDED: it was waited for
    refusal.confirm_complete("shop.order.v1")
    assert "127.0.0.1" not in refusal.message

    async def nothing_reserved() -> bool:
        return await shop.ledger.stock(product) == Stock(available=10, reserved=0, sold=0)

    await eventually(nothing_reserved, 30.0, "stock is still reserved")
    (pending,) = await shop.ledger.orders(request_id=request_id)
    assert pending["status"] == "PENDING"

    await shop.start(service, **HASTY)
    order = await persistently(lambda: customer.buy({product: 1}, request_id))
    assert order.status == CONFIRMED
    assert order.order_id == pending["_id"]
    assert await shop.ledger.at_rest(product) == Stock(available=9, reserved=0, sold=1)


async def test_stock_reserved_for_no_order_is_released_after_its_age(
    fragile_shop: RunningShop, fragile_admin: Admin
) -> None:
    shop, product = fragile_shop, await fragile_admin.add_product()
    await shop.stop("order")
    for name in (f"{new_id()}-1", unique("orphan")):
        await shop.service.reserve(name, {product: 2})
    assert (await shop.ledger.stock(product)).reserved == 4
    await shop.start("order", **HASTY)

    assert await shop.ledger.at_rest(product) == Stock(available=10, reserved=0, sold=0)
    assert (await shop.nobody.product(product)).stock == 10


async def test_clients_that_go_away_leave_nothing_reserved(
    fragile_shop: RunningShop, fragile_admin: Admin, fragile_customer: Customer
) -> None:
    shop, customer = fragile_shop, fragile_customer
    product = await fragile_admin.add_product()
    patience_s = (0.002, 0.004, 0.006, 0.01, 0.015, 0.02, 0.03, 0.04)

    codes = await asyncio.gather(
        *(outcome(customer.buy({product: 1}, timeout_s=limit_s)) for limit_s in patience_s)
    )

    sold = -1

    async def adds_up() -> bool:  # what they sent may still be on its way
        nonlocal sold
        stock = await shop.ledger.at_rest(product)
        placed = await shop.ledger.orders(**{"lines.product_id": product})
        sold = [order["status"] for order in placed].count("CONFIRMED")
        return stock == Stock(available=10 - sold, reserved=0, sold=sold)

    await eventually(adds_up, 30.0, "what is sold and what is ordered differ")
    assert grpc.StatusCode.DEADLINE_EXCEEDED in codes
    assert sold >= codes.count(grpc.StatusCode.OK)


async def test_a_checkout_that_nobody_finishes_is_rejected_as_abandoned(
    fragile_shop: RunningShop, fragile_admin: Admin, fragile_customer: Customer
) -> None:
    shop, customer = fragile_shop, fragile_customer
    product = await fragile_admin.add_product(stock=10)
    request_id = unique("abandoned")
    await shop.stop("user")
    await outcome(customer.buy({product: 1}, request_id))

    async def rejected() -> bool:
        (order,) = await shop.ledger.orders(request_id=request_id)
        return bool(order["status"] == "REJECTED")

    await eventually(rejected, 60.0, "the order is still open")
    assert await shop.ledger.at_rest(product) == Stock(available=10, reserved=0, sold=0)
    await shop.start("user", **HASTY)
    again = await persistently(lambda: customer.buy({product: 1}, request_id))
    assert (again.status, again.reject_reason) == (REJECTED, "ABANDONED")
