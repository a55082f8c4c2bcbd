"""The figures that services give over HTTP, beside the calls that were made."""

import asyncio
import os
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc import aio
from prometheus_client.parser import text_string_to_metric_families
from pymongo.uri_parser import parse_uri
from shop.inventory.v1 import inventory_pb2 as pb
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from shop.order.v1.order_pb2_grpc import OrderServiceStub
from shop.user.v1.user_pb2_grpc import UserServiceStub

from bench.figures import Figures, figures_at
from bench.proxy import Proxy, opened_proxy
from services.common.rpc.transport import NATIVE_INSTALLED
from services.common.settings import PREFIX
from services.inventory.bootstrap import MAX_S
from services.stack.credentials import open_credentials
from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports
from services.stack.services import SERVICES, ServicePorts, Shop, running_services
from tests.e2e.support.people import UNKNOWN_ID, Admin, Caller, Customer, Stubs, a_product
from tests.e2e.support.tokens import Mint
from tests.integration.patience import PATIENT_S, until

INVENTORY = "shop.inventory.v1.InventoryService"
TRANSPORTS = ["native", "grpcio"] if NATIVE_INSTALLED else ["grpcio"]
HANDLED = ("grpc_server_handled_total", "grpc_method", "grpc_code")


@dataclass(frozen=True, slots=True)
class Measured:
    """A running shop, its figures, and the way of its services to MongoDB."""

    shop: Shop
    stubs: Stubs
    mint: Mint
    mongo: Proxy
    ports: dict[str, int]

    async def page(self, service: str) -> str:
        url = f"http://127.0.0.1:{self.ports[service]}/metrics"
        return await asyncio.to_thread(_read, url)

    async def figures(self, service: str, name: str, *labels: str) -> Figures:
        """The samples with this name, by these labels."""
        return await figures_at(self.ports[service], name, *labels)

    async def handled(self, service: str) -> Figures:
        """How many calls ended, by method and code."""
        return await self.figures(service, *HANDLED)

    async def comes_to(self, before: Figures, after: Figures) -> None:
        """Wait until so many calls of these methods to Inventory have ended, and no others."""
        methods = {method for method, _ in after}

        async def is_so() -> bool:
            ended = await self.handled("inventory") - before
            return {one: n for one, n in ended.items() if one[0] in methods} == after

        await until(is_so)

    async def in_flight(self, service: str) -> int:
        return sum((await self.figures(service, "grpc_server_in_flight", "grpc_method")).values())

    async def until_in_flight(self, service: str, count: int) -> None:
        """Wait until so many calls are in flight."""

        async def is_so() -> bool:
            return await self.in_flight(service) == count

        await until(is_so)


def figures_on(page: str, name: str, *labels: str) -> Figures:
    """The samples with this name that a page has, by these labels."""
    found: Figures = Counter()
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == name:
                found[tuple(sample.labels[label] for label in labels)] = int(sample.value)
    return found


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as page:  # noqa: S310 (http on loopback)
        text: str = page.read().decode()
        return text


@pytest.fixture(scope="module", params=TRANSPORTS)
async def measured(
    request: pytest.FixtureRequest,
    mongo_uri: str,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Measured]:
    folder = DataFolder(tmp_path_factory.mktemp("measured"))
    folder.prepare()
    mark = f"metrics_{request.param}_{os.getpid()}"
    variables = {
        **{name: v for name, v in os.environ.items() if not name.startswith(PREFIX)},
        **{f"SHOP_{s.upper()}_DATABASE": f"{mark}_{s}" for s in SERVICES},
        "SHOP_TRANSPORT": request.param,
        "SHOP_MONGO_TIMEOUT_MS": "20000",
        "SHOP_RECONCILE_INTERVAL_S": "3600",  # its calls to Inventory would be counted too
    }
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    with claimed_ports(6) as ports:
        async with opened_proxy(host, port or 27017) as proxy:
            shop = Shop(
                f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true",
                redis_url,
                open_credentials(folder.secrets),
                ServicePorts(*ports),
                variables=variables,
            )
            async with (
                running_services(folder, shop),
                aio.insecure_channel(shop.user) as users,
                aio.insecure_channel(shop.inventory) as inventory,
                aio.insecure_channel(shop.order) as orders,
            ):
                stubs = Stubs(
                    UserServiceStub(users),
                    InventoryServiceStub(inventory),
                    OrderServiceStub(orders),
                )
                yield Measured(
                    shop,
                    stubs,
                    Mint.of(shop.credentials),
                    proxy,
                    dict(zip(SERVICES, ports[3:], strict=True)),
                )


async def code_of(call: object) -> grpc.StatusCode:
    try:
        await call  # type: ignore[misc]
    except aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_calls_are_counted_by_what_their_clients_got(measured: Measured) -> None:
    nobody = Caller(measured.stubs)
    somebody = Caller(measured.stubs, measured.mint.user("5" * 24))
    admin = await Admin.log_in_as_admin(measured.stubs, measured.shop.credentials.admin_password)
    product = await admin.add_product()
    creation = pb.CreateProductRequest(product=a_product())
    create = measured.stubs.inventory.CreateProduct
    before = await measured.handled("inventory")
    got = Counter[tuple[str, ...]]()

    for method, call in [
        *(("GetProduct", nobody.product(product)) for _ in range(5)),
        *(("GetProduct", nobody.product(UNKNOWN_ID)) for _ in range(4)),
        *(("GetProduct", nobody.product("no id")) for _ in range(3)),
        *(("CreateProduct", nobody.call(create, creation)) for _ in range(2)),
        ("CreateProduct", somebody.call(create, creation)),
    ]:
        got[method, (await code_of(call)).name] += 1

    assert got == {
        ("GetProduct", "OK"): 5,
        ("GetProduct", "NOT_FOUND"): 4,
        ("GetProduct", "INVALID_ARGUMENT"): 3,
        ("CreateProduct", "UNAUTHENTICATED"): 2,
        ("CreateProduct", "PERMISSION_DENIED"): 1,
    }
    await measured.comes_to(before, got)


async def test_calls_that_are_given_up_or_too_late_are_counted_as_such(
    measured: Measured,
) -> None:
    read = measured.stubs.inventory.ListProducts
    request = pb.ListProductsRequest()

    before = await measured.handled("inventory")
    measured.mongo.hold()
    try:
        late = [asyncio.ensure_future(code_of(read(request, timeout=1.0))) for _ in range(10)]
        await measured.until_in_flight("inventory", 10)
        assert await asyncio.gather(*late) == [grpc.StatusCode.DEADLINE_EXCEEDED] * 10
        given_up = [read(request, timeout=20) for _ in range(3)]
        await measured.until_in_flight("inventory", 3)
        for call in given_up:
            call.cancel()
        await measured.until_in_flight("inventory", 0)
    finally:
        measured.mongo.release()
    await measured.comes_to(
        before,
        Counter({("ListProducts", "DEADLINE_EXCEEDED"): 10, ("ListProducts", "CANCELLED"): 3}),
    )


async def test_a_call_that_takes_longer_than_it_may_is_counted_as_too_late(
    measured: Measured,
) -> None:
    request = pb.GetProductRequest(product_id="1" * 24)
    before = await measured.handled("inventory")
    measured.mongo.hold()
    try:
        begun = asyncio.get_running_loop().time()
        code = await code_of(measured.stubs.inventory.GetProduct(request, timeout=PATIENT_S))
        elapsed_s = asyncio.get_running_loop().time() - begun
    finally:
        measured.mongo.release()
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert MAX_S["GetProduct"] - 0.1 <= elapsed_s < PATIENT_S / 2
    await measured.comes_to(before, Counter({("GetProduct", "DEADLINE_EXCEEDED"): 1}))


async def test_every_call_that_began_has_ended_and_was_timed(measured: Measured) -> None:
    await Caller(measured.stubs).call(
        measured.stubs.inventory.ListProducts, pb.ListProductsRequest()
    )
    started: Figures = Counter()

    async def all_have_ended() -> bool:
        page = await measured.page("inventory")
        started.clear()
        started.update(figures_on(page, "grpc_server_started_total", "grpc_method"))
        timed = figures_on(page, "grpc_server_handling_seconds_count", "grpc_method")
        handled: Figures = Counter()
        for (method, _), count in figures_on(page, *HANDLED).items():
            handled[method,] += count
        return started == timed == handled

    await until(all_have_ended)
    assert started["ListProducts",] >= 1


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_gives_figures_of_its_process_and_its_load(
    measured: Measured, service: str
) -> None:
    page = await measured.page(service)
    names = {f.name for f in text_string_to_metric_families(page)}
    assert {
        "process_cpu_seconds",
        "process_resident_memory_bytes",
        "process_open_fds",
        "python_info",
        "python_gc_collections",
        "shop_concurrency_limit",
        "shop_calls_let_in",
        "shop_calls_queued",
        "shop_calls_shed",
        "shop_event_loop_lag_seconds",
    } <= names


async def test_the_order_service_counts_its_calls_to_the_others(measured: Measured) -> None:
    admin = await Admin.log_in_as_admin(measured.stubs, measured.shop.credentials.admin_password)
    customer = await Customer.new(measured.stubs, "mo")
    product = await admin.add_product(stock=1)
    labels = ("grpc_service", "grpc_method", "grpc_code")
    before = await measured.figures("order", "grpc_client_handled_total", *labels)
    profile = ("shop.user.v1.UserService", "GetUserProfile", "OK")
    reserved = (INVENTORY, "ReserveStock", "OK")
    refused = (INVENTORY, "ReserveStock", "FAILED_PRECONDITION")
    committed = (INVENTORY, "CommitReservation", "OK")

    await customer.buy({product: 1})
    await customer.buy({product: 1})  # of which there is none left

    async def made() -> Figures:
        return await measured.figures("order", "grpc_client_handled_total", *labels) - before

    async def is_committed() -> bool:
        return bool((await made())[committed])

    await until(is_committed)  # which goes on after the answer
    calls = await made()
    assert (calls[profile], calls[reserved], calls[refused]) == (2, 1, 1)


@pytest.mark.parametrize("measured", TRANSPORTS[:1], indirect=True)
async def test_port_0_gives_no_figures(
    measured: Measured, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = DataFolder(tmp_path_factory.mktemp("unmeasured"))
    folder.prepare()
    with claimed_ports(3) as ports:
        shop = Shop(
            measured.shop.mongo_uri,
            measured.shop.redis_url,
            measured.shop.credentials,
            ServicePorts(*ports),
            variables=measured.shop.variables,
        )
        async with running_services(folder, shop) as children:
            for service in SERVICES:
                pid = children[service].process.pid
                assert await asyncio.to_thread(_listening, pid) == {
                    int(shop.target(service).rpartition(":")[2])
                }


def _listening(pid: int) -> set[int]:
    """The TCP ports on which a process listens (Linux)."""
    sockets = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(str(handle.readlink()))
        except OSError:
            continue
    rows = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    rows += Path(f"/proc/{pid}/net/tcp6").read_text().splitlines()[1:]
    fields = [row.split() for row in rows]
    return {
        int(field[1].rpartition(":")[2], 16)
        for field in fields
        if field[3] == "0A" and f"socket:[{field[9]}]" in sockets
    }
