"""A service told to stop: what is in flight ends well, and what comes then goes elsewhere."""

import asyncio
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
from grpc import aio
from shop.inventory.v1.inventory_pb2 import ListProductsRequest

from tests.e2e.support.running_shop import opened_shop
from tests.e2e.support.shop_front import ask_health
from tests.load.conftest import Ports
from tests.load.support.instance import GET, LIST, Stores, inventory
from tests.load.support.narrow_store import NarrowStore

WATCH = "/grpc.health.v1.Health/Watch"
IN_FLIGHT_S = 1.0
DRAIN_S = 4.0
BUYERS, EACH = 6, 12
PATIENCE_S = 30  # of a buyer, while services restart


async def _code(channel: aio.Channel, name: str, request: bytes = b"") -> grpc.StatusCode:
    method: Any = channel.unary_unary(name)
    try:
        await method(request, timeout=5.0)
    except aio.AioRpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


async def test_a_draining_service_finishes_what_it_has_and_sends_others_elsewhere(
    transport: str, ports: Ports, folder: Path, stores: Stores
) -> None:
    narrow = NarrowStore(stores.mongo_uri, b"$search", 4, IN_FLIGHT_S)
    async with (
        narrow.opened(),
        inventory(
            folder,
            replace(stores, mongo_uri=narrow.uri),
            (ports.rpc, ports.metrics),
            transport,
            SHOP_DRAIN_TIMEOUT_S=str(DRAIN_S),
        ) as service,
        aio.insecure_channel(service.address) as channel,
    ):
        watch: Any = channel.unary_stream(WATCH)
        search = ListProductsRequest(query="lamp", page_size=5).SerializeToString()
        assert await ask_health(channel) == "SERVING"
        states = [aio.insecure_channel(service.address) for _ in range(2)]
        watching = watch(b"")
        living = watch(b"\x0a\x08liveness")
        assert await watching.read() == await living.read() == b"\x08\x01"  # SERVING
        dying = asyncio.ensure_future(living.read())
        in_flight = asyncio.ensure_future(_code(channel, LIST, search))
        await asyncio.sleep(0.3)

        service.child.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(watching.read(), 1.0) == b"\x08\x02"  # NOT_SERVING
        await asyncio.sleep(0.1)
        late = [await _code(other, GET) for other in (channel, *states)]

        assert set(late) == {grpc.StatusCode.UNAVAILABLE}
        assert await in_flight is grpc.StatusCode.OK
        assert not dying.done()
        dying.cancel()
        watching.cancel()
        async with asyncio.timeout(DRAIN_S + 2.0):
            assert await service.child.process.wait() == 0
        for other in states:
            await other.close()


async def test_orders_repeated_through_restarts_are_made_once_each(
    transport: str, mongo_uri: str, redis_url: str, folder: Path
) -> None:
    async with opened_shop(
        folder,
        mongo_uri=mongo_uri,
        redis_url=redis_url,
        ledger_uri=mongo_uri,
        SHOP_TRANSPORT=transport,
        SHOP_RECONCILE_AGE_S="5",  # longer than a restart: else it undoes what is being repeated
        SHOP_RECONCILE_INTERVAL_S="0.5",
    ) as shop:
        product = await (await shop.admin()).add_product(stock=1_000)
        customer = await shop.customer()
        made: dict[str, str] = {}

        async def buy(request_id: str) -> None:
            loop = asyncio.get_running_loop()
            until = loop.time() + PATIENCE_S
            while loop.time() < until:
                try:
                    order = await customer.buy(
                        {product: 1}, request_id, timeout_s=3.0, wait_for_ready=True
                    )
                except aio.AioRpcError as error:
                    if error.code() not in _WORTH_REPEATING:
                        raise
                    await asyncio.sleep(0.05)
                else:
                    made[request_id] = order.order_id
                    return
            raise AssertionError(f"{request_id} was never made")

        async def buyer(number: int) -> None:
            for one in range(EACH):
                await buy(f"roll-{number}-{one}")
                await asyncio.sleep(0.05)

        buying = asyncio.gather(*(buyer(number) for number in range(BUYERS)))
        for service in ("inventory", "order", "inventory"):
            await asyncio.sleep(0.3)
            assert await shop.signal(service, signal.SIGTERM) == 0
            await shop.start(service)
        async with asyncio.timeout(2 * PATIENCE_S):
            await buying

        stock = await shop.ledger.at_rest(product)
        orders = await shop.ledger.orders(user_id=customer.user_id)
        confirmed = [order for order in orders if order["status"] == "CONFIRMED"]
        assert len(made) == len(set(made.values())) == BUYERS * EACH
        assert sorted(order["_id"] for order in orders) == sorted(made.values())
        assert len(confirmed) == BUYERS * EACH
        assert (stock.sold, stock.reserved, stock.total) == (BUYERS * EACH, 0, 1_000)


_WORTH_REPEATING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
}
