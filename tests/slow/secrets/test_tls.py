"""A shop whose services speak TLS, with each other too; mutual where an authority is given."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from shop.order.v1.order_pb2_grpc import OrderServiceStub
from shop.user.v1.user_pb2_grpc import UserServiceStub

from services.common.settings import PREFIX
from services.stack.credentials import open_credentials
from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports
from services.stack.processes import running
from services.stack.services import SERVICES, ServicePorts, Shop
from tests.e2e.support.people import Admin, Customer, Stubs
from tests.integration.certificates import Authority, Pair

SERVING_WITHIN_S = 60.0
ANSWERED_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class TlsShop:
    """A running shop and what a client needs to be let in."""

    shop: Shop
    logs: Mapping[str, Path]
    trusted: bytes
    client: Pair | None

    def credentials(self, client: Pair | None = None) -> grpc.ChannelCredentials:
        """What a client comes with: its certificate if it has one."""
        return grpc.ssl_channel_credentials(
            self.trusted,
            None if client is None else client.key.read_bytes(),
            None if client is None else client.cert.read_bytes(),
        )

    def channel(self, service: str) -> aio.Channel:
        return aio.secure_channel(self.shop.target(service), self.credentials(self.client))


@pytest.fixture(scope="module", params=["mutual", "server only"])
async def tls_shop(
    request: pytest.FixtureRequest,
    mongo_uri: str,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[TlsShop]:
    path = tmp_path_factory.mktemp("tls")
    folder = DataFolder(path / "data")
    folder.prepare()
    mutual, authority = request.param == "mutual", Authority("shop")
    server = authority.issue(path, "server")
    variables = {
        **{name: v for name, v in os.environ.items() if not name.startswith(PREFIX)},
        **{f"SHOP_{s.upper()}_DATABASE": f"tls_{mutual:d}_{path.name}_{s}" for s in SERVICES},
        "SHOP_TLS_CERT": str(server.cert),
        "SHOP_TLS_KEY": str(server.key),
    }
    trusted = server.cert
    if mutual:
        trusted = authority.write(path, "shop")
        variables["SHOP_TLS_CLIENT_CA"] = str(trusted)
    with claimed_ports(3) as ports:
        shop = Shop(
            mongo_uri,
            redis_url,
            open_credentials(folder.secrets),
            ServicePorts(*ports),
            variables=variables,
        )
        logs = {service: folder.log(service) for service in SERVICES}
        client = authority.issue(path, "client") if mutual else None
        tls_shop = TlsShop(shop, logs, trusted.read_bytes(), client)
        async with AsyncExitStack() as opened:
            for service in SERVICES:
                command = [sys.executable, "-m", f"services.{service}"]
                environment = shop.environment(service)
                await opened.enter_async_context(
                    running(service, command, logs[service], environment)
                )
            for service in SERVICES:
                await _serving(tls_shop, service)
            yield tls_shop


async def _serving(shop: TlsShop, service: str) -> None:
    request = health_pb2.HealthCheckRequest()
    async with asyncio.timeout(SERVING_WITHIN_S), shop.channel(service) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
        while True:
            try:
                answer = await check(request, timeout=1, wait_for_ready=True)
            except aio.AioRpcError:
                continue
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
            await asyncio.sleep(0.05)


async def health_over(channel: aio.Channel) -> grpc.StatusCode:
    """How asking a server for its health ends over this channel."""
    check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
    try:
        await check(health_pb2.HealthCheckRequest(), timeout=ANSWERED_WITHIN_S)
    except aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@asynccontextmanager
async def stubs_of(shop: TlsShop) -> AsyncIterator[Stubs]:
    async with AsyncExitStack() as opened:
        users, inventory, orders = [
            await opened.enter_async_context(shop.channel(service)) for service in SERVICES
        ]
        yield Stubs(
            UserServiceStub(users), InventoryServiceStub(inventory), OrderServiceStub(orders)
        )


async def test_an_order_goes_through_all_services(tls_shop: TlsShop) -> None:
    async with stubs_of(tls_shop) as stubs:
        admin = await Admin.log_in_as_admin(stubs, tls_shop.shop.credentials.admin_password)
        customer = await Customer.new(stubs, "tess")
        product = await admin.add_product(stock=5)
        order = await customer.buy({product: 2})
        assert (await customer.order(order.order_id)).order_id == order.order_id
        assert (await admin.product(product)).stock == 3


async def test_grpcio_serves_where_the_transport_is_left_to_it(tls_shop: TlsShop) -> None:
    for log in tls_shop.logs.values():
        assert '"transport": "grpcio"' in log.read_text()


async def test_a_plaintext_client_is_refused(tls_shop: TlsShop) -> None:
    for service in SERVICES:
        async with aio.insecure_channel(tls_shop.shop.target(service)) as channel:
            assert await health_over(channel) is grpc.StatusCode.UNAVAILABLE


async def test_a_client_without_a_certificate_is_refused_where_one_is_asked_for(
    tls_shop: TlsShop,
) -> None:
    expected = grpc.StatusCode.OK if tls_shop.client is None else grpc.StatusCode.UNAVAILABLE
    for service in SERVICES:
        target = tls_shop.shop.target(service)
        async with aio.secure_channel(target, tls_shop.credentials()) as channel:
            assert await health_over(channel) is expected


async def test_a_clients_certificate_of_another_authority_is_refused_where_one_is_asked_for(
    tls_shop: TlsShop, tmp_path: Path
) -> None:
    expected = grpc.StatusCode.OK if tls_shop.client is None else grpc.StatusCode.UNAVAILABLE
    foreign = Authority("shop").issue(tmp_path, "client")
    for service in SERVICES:
        credentials = tls_shop.credentials(foreign)
        async with aio.secure_channel(tls_shop.shop.target(service), credentials) as channel:
            assert await health_over(channel) is expected


async def test_a_server_that_cannot_prove_itself_is_not_talked_to(
    tls_shop: TlsShop, tmp_path: Path
) -> None:
    trusted = Authority("shop").write(tmp_path, "other").read_bytes()
    credentials = grpc.ssl_channel_credentials(trusted)
    async with aio.secure_channel(tls_shop.shop.inventory, credentials) as channel:
        assert await health_over(channel) is grpc.StatusCode.UNAVAILABLE
