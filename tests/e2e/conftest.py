"""The shop under test: three processes, real stores, real ports; or one that runs already."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from grpc.aio import AioRpcError
from pymongo.uri_parser import parse_uri

from bench.proxy import Proxy, opened_proxy
from services.common.rpc.transport import NATIVE_INSTALLED, Transport
from services.stack.credentials import Credentials
from tests.e2e.support import outside_shop
from tests.e2e.support.ledger import eventually
from tests.e2e.support.people import Admin, Customer
from tests.e2e.support.persistence import OPEN_OUTCOMES
from tests.e2e.support.running_shop import USUAL_TRANSPORT, RunningShop, opened_shop
from tests.e2e.support.shop_front import ShopFront

# Longer than a checkout takes where all is slow: the reconciler finds only what is left behind.
RECONCILE_AGE_S = "30"

# What clients see must not depend on the transport. The other tests take that of SHOP_TRANSPORT,
# or what the shop takes; `make test-slow` runs them all on grpcio.
ON_BOTH_TRANSPORTS = {"test_journeys"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of some modules on each transport; pytest keeps those of one together."""
    if "transport" not in metafunc.fixturenames:
        return
    transports = [USUAL_TRANSPORT]
    module = metafunc.module.__name__.rpartition(".")[2]
    if module in ON_BOTH_TRANSPORTS and NATIVE_INSTALLED and not outside_shop.is_given():
        transports.append(Transport.GRPCIO)
    wanted = list(dict.fromkeys(transports))
    metafunc.parametrize("transport", wanted, indirect=True, scope="package", ids=str)


@pytest.fixture(scope="package")
def transport(request: pytest.FixtureRequest) -> Transport:
    """What the shop serves with."""
    return Transport(request.param)


@pytest.fixture(scope="package")
async def own_shop(
    mongo_uri: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningShop]:
    """A shop of the tests' own."""
    async with opened_own_shop(mongo_uri, redis_url, tmp_path_factory, USUAL_TRANSPORT) as shop:
        yield shop


@pytest.fixture(scope="package")
async def own_shop_on_grpcio(
    mongo_uri: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningShop]:
    """Another one. Both stay, however often tests turn from one to the other."""
    async with opened_own_shop(mongo_uri, redis_url, tmp_path_factory, Transport.GRPCIO) as shop:
        yield shop


@asynccontextmanager
async def opened_own_shop(
    mongo_uri: str, redis_url: str, folders: pytest.TempPathFactory, transport: Transport
) -> AsyncIterator[RunningShop]:
    """Run a shop on a transport until the end of the block."""
    async with opened_shop(
        folders.mktemp("shop"),
        mongo_uri=mongo_uri,
        redis_url=redis_url,
        ledger_uri=mongo_uri,
        SHOP_RECONCILE_AGE_S=RECONCILE_AGE_S,
        SHOP_LOG_LEVEL="debug",
        SHOP_TRANSPORT=transport,
    ) as running:
        yield running


@pytest.fixture(scope="package")
async def given_shop() -> AsyncIterator[ShopFront]:
    """A shop that runs already."""
    async with outside_shop.opened_outside_shop() as front:
        yield front


@pytest.fixture(scope="package")
def shop(request: pytest.FixtureRequest, transport: Transport) -> ShopFront:
    """A shop for all tests that leave its processes and stores alone."""
    own = "own_shop_on_grpcio" if transport is Transport.GRPCIO else "own_shop"
    which = "given_shop" if outside_shop.is_given() else own
    front: ShopFront = request.getfixturevalue(which)
    return front


@pytest.fixture(scope="package")
def credentials(shop: ShopFront) -> Credentials:
    """The keys and passwords of the shop."""
    return shop.credentials


@pytest.fixture(scope="package")
async def admin(shop: ShopFront) -> Admin:
    """The administrator of the shop."""
    return await shop.admin()


@pytest.fixture(scope="package")
async def customer(shop: ShopFront) -> Customer:
    """A customer whose login and password no test changes."""
    return await shop.customer("customer")


@pytest.fixture(scope="package")
async def stranger(shop: ShopFront) -> Customer:
    """Another customer, to whom nothing of the first one's belongs."""
    return await shop.customer("stranger")


@pytest.fixture
async def product_id(admin: Admin) -> str:
    """A product with 10 pieces at EUR 19.99."""
    return await admin.add_product()


# ---- a shop to break


@pytest.fixture(scope="package")
async def mongo_proxy(mongo_uri: str) -> AsyncIterator[Proxy]:
    """The way of the fragile shop to MongoDB."""
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    async with opened_proxy(host, port or 27017) as proxy:
        yield proxy


@pytest.fixture(scope="package")
async def redis_proxy(redis_url: str) -> AsyncIterator[Proxy]:
    """The way of the fragile shop to Redis."""
    parts = urlsplit(redis_url)
    async with opened_proxy(parts.hostname or "127.0.0.1", parts.port or 6379) as proxy:
        yield proxy


@pytest.fixture(scope="package")
async def fragile_processes(
    mongo_uri: str,
    redis_url: str,
    mongo_proxy: Proxy,
    redis_proxy: Proxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[RunningShop]:
    """The processes behind ``fragile_shop``."""
    async with opened_shop(
        tmp_path_factory.mktemp("fragile"),
        mongo_uri=f"mongodb://127.0.0.1:{mongo_proxy.port}/?directConnection=true",
        redis_url=f"redis://127.0.0.1:{redis_proxy.port}{urlsplit(redis_url).path}",
        ledger_uri=mongo_uri,
        SHOP_RECONCILE_AGE_S=RECONCILE_AGE_S,
    ) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Probe:
    """A purchase that shows that the services reach each other."""

    customer: Customer
    product_id: str

    async def is_sold(self) -> bool:
        """Whether it was made."""
        try:
            await self.customer.buy({self.product_id: 1}, timeout_s=2, wait_for_ready=True)
        except AioRpcError as error:
            if error.code() not in OPEN_OUTCOMES:
                raise
            return False
        return True


@pytest.fixture(scope="package")
async def probe(fragile_processes: RunningShop) -> Probe:
    """A purchase in the fragile shop."""
    admin = await fragile_processes.admin()
    return Probe(await fragile_processes.customer("probe"), await admin.add_product(10_000))


@pytest.fixture
def fragile_variables() -> dict[str, str]:
    """What the fragile shop is started with besides; a module may say something else."""
    return {}


@pytest.fixture
async def fragile_shop(
    fragile_processes: RunningShop,
    fragile_variables: dict[str, str],
    probe: Probe,
    mongo_proxy: Proxy,
    redis_proxy: Proxy,
) -> AsyncIterator[RunningShop]:
    """A shop whose processes and stores a test may take away; whole again for the next one."""
    await fragile_processes.start_all(**fragile_variables)
    await eventually(probe.is_sold, 60.0, "the fragile shop does not sell")
    yield fragile_processes
    for proxy in (mongo_proxy, redis_proxy):
        proxy.release()
        proxy.mend()
