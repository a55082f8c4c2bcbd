"""Customers that keep a shop a little busy, in all the ways that dashboards tell of."""

import asyncio
from contextlib import suppress

from grpc import StatusCode
from grpc.aio import AioRpcError
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2

from tests.e2e.support.people import TIMEOUT_S, UNKNOWN_ID, Admin, Customer
from tests.e2e.support.running_shop import RunningShop

PAUSE_S = 0.2
ANSWERED_BY = ("no-cache", "no-near", "")  # MongoDB, Redis, and whatever is nearest

# What a shop that has just begun, or a machine that has much to do, may answer.
TRY_AGAIN = {StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.RESOURCE_EXHAUSTED}


async def keep_busy(shop: RunningShop) -> None:
    """Trade until cancelled, with a pause after each round, be it broken off or not."""
    admin, customer = await shop.admin(), await shop.customer()
    while True:
        try:
            await go_round(shop, admin, customer)
        except AioRpcError as error:
            if error.code() not in TRY_AGAIN:
                raise
        await asyncio.sleep(PAUSE_S)


async def go_round(shop: RunningShop, admin: Admin, customer: Customer) -> None:
    """Do everything once."""
    product = await admin.add_product(stock=3)
    await read(shop, customer, product)
    await buy(admin, customer, product)
    await change(shop, admin, product)
    await fail(shop)
    await customer.log_in(customer.username, customer.password)


async def read(shop: RunningShop, customer: Customer, product: str) -> None:
    """Read from every layer, and again what is near by then."""
    request = inventory_pb2.GetProductRequest(product_id=product)
    for wish in (*ANSWERED_BY, *ANSWERED_BY):
        metadata = [("cache-control", wish)] if wish else []
        await shop.inventory.GetProduct(request, timeout=TIMEOUT_S, metadata=metadata)
    for _ in range(2):
        await customer.profile(customer.user_id)
        await customer.orders_of(customer.user_id)


async def buy(admin: Admin, customer: Customer, product: str) -> None:
    """Buy, twice with one request id, cancel, buy again for delivery, and want too much."""
    first = await customer.buy({product: 1}, product)
    assert await customer.buy({product: 1}, product) == first
    await customer.cancel(first.order_id)
    second = await customer.buy({product: 1})
    await admin.move(second.order_id, order_pb2.ORDER_STATUS_SHIPPED)
    await admin.move(second.order_id, order_pb2.ORDER_STATUS_DELIVERED)
    refused = await customer.buy({product: 100})
    assert refused.reject_reason == "INSUFFICIENT_STOCK"


async def change(shop: RunningShop, admin: Admin, product: str) -> None:
    """Change what others have near."""
    changed = await admin.product(product)
    changed.name, changed.version = "Better kettle", 0  # whatever has become of it meanwhile
    request = inventory_pb2.UpdateProductRequest(product=changed)
    request.update_mask.paths.append("name")
    await admin.call(shop.inventory.UpdateProduct, request)


async def fail(shop: RunningShop) -> None:
    """Ask for what does not exist, and give a call up."""
    with suppress(AioRpcError):
        await shop.nobody.product(UNKNOWN_ID)
    given_up = shop.inventory.ListProducts(inventory_pb2.ListProductsRequest(), timeout=TIMEOUT_S)
    await asyncio.sleep(0)
    given_up.cancel()
