"""A service told to stop: what is in flight ends well, and what comes then goes elsewhere."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from pymongo.uri_parser import parse_uri
from shop.inventory.v1.inventory_pb2 import ListProductsRequest

from bench.proxy import opened_proxy
from services.stack.folder import DataFolder
from tests.e2e.support.ledger import eventually
from tests.e2e.support.running_shop import opened_shop
from tests.e2e.support.shop_front import ask_health
from tests.slow.load.conftest import Ports
from tests.slow.load.support import frames
from tests.slow.load.support.instance import GET, LIST, UNHURRIED, Stores, inventory

WATCH = "/grpc.health.v1.Health/Watch"
DRAIN_S = 30.0
UNREAD_LINES = 1_000  # more than a pipe holds
BUYERS, EACH = 6, 12
PATIENCE_S = 60.0

pytestmark = pytest.mark.timeout(300)


async def _code(channel: aio.Channel, name: str, request: bytes = b"") -> grpc.StatusCode:
    method: Any = channel.unary_unary(name)
    try:
        await method(request, timeout=PATIENCE_S)
    except aio.AioRpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


async def test_a_draining_service_finishes_what_it_has_and_sends_others_elsewhere(
    transport: str, ports: Ports, folder: Path, stores: Stores
) -> None:
    host, port = parse_uri(stores.mongo_uri)["nodelist"][0]
    async with (
        opened_proxy(host, port or 27_017) as proxy,
        inventory(
            folder,
            replace(stores, mongo_uri=f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"),
            (ports.rpc, ports.metrics),
            transport,
            **UNHURRIED,
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
        proxy.hold()
        in_flight = asyncio.ensure_future(_code(channel, LIST, search))

        async def has_the_call() -> bool:
            return await service.figure("grpc_server_in_flight", grpc_method="ListProducts") > 0

        await eventually(has_the_call, PATIENCE_S, "the call does not arrive")
        service.child.process.send_signal(signal.SIGTERM)
        heard = await asyncio.wait_for(watching.read(), PATIENCE_S)
        assert heard == b"\x08\x02"  # NOT_SERVING

        async def sends_away() -> bool:
            return await _code(channel, GET) is grpc.StatusCode.UNAVAILABLE

        await eventually(sends_away, PATIENCE_S, "it takes new calls")
        late = [await _code(other, GET) for other in (channel, *states)]

        assert set(late) == {grpc.StatusCode.UNAVAILABLE}
        assert not in_flight.done()
        assert not dying.done()
        proxy.release()
        assert await in_flight is grpc.StatusCode.OK
        dying.cancel()
        watching.cancel()
        async with asyncio.timeout(PATIENCE_S):
            assert await service.child.process.wait() == 0
        for other in states:
            await other.close()


async def test_who_reads_neither_health_nor_log_holds_up_neither_calls_nor_the_end(
    transport: str, ports: Ports, folder: Path, stores: Stores
) -> None:
    log = DataFolder(folder).log("inventory")
    log.parent.mkdir(parents=True)
    os.mkfifo(log)
    reader = os.open(log, os.O_RDWR | os.O_NONBLOCK)  # who never reads
    variables = {**UNHURRIED, "SHOP_LOG_LEVEL": "debug"}
    try:
        async with (
            inventory(
                folder, stores, (ports.rpc, ports.metrics), transport, **variables
            ) as service,
            aio.insecure_channel(service.address) as channel,
        ):
            watches = b"".join(frames.whole_call(WATCH, 2 * n + 1, b"") for n in range(50))
            with frames.unread(service.port, watches):
                for _ in range(UNREAD_LINES):
                    assert await _code(channel, GET) is grpc.StatusCode.INVALID_ARGUMENT
                assert await ask_health(channel) == "SERVING"
                service.child.process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(PATIENCE_S):
                    assert await service.child.process.wait() == 0
    finally:
        os.close(reader)


async def test_orders_repeated_through_restarts_are_made_once_each(
    transport: str, mongo_uri: str, redis_url: str, folder: Path
) -> None:
    async with opened_shop(
        folder,
        mongo_uri=mongo_uri,
        redis_url=redis_url,
        ledger_uri=mongo_uri,
        SHOP_TRANSPORT=transport,
        SHOP_RECONCILE_AGE_S="600",  # else it undoes what is being repeated
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
        async with asyncio.timeout(PATIENCE_S):
            await buying
        await shop.restart("order", SHOP_RECONCILE_AGE_S="1")  # which finishes what is left

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
