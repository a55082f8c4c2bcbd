"""Traces: what a collector gets of a checkout, and what the shop does without one."""

import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2

from services.common.mongo import MongoDriver
from services.common.rpc.transport import NATIVE_INSTALLED, Transport
from services.stack.ports import claimed_ports
from tests.e2e.support.collector import CollectedSpan, Collector, collecting, tree
from tests.e2e.support.ledger import eventually
from tests.e2e.support.people import TIMEOUT_S, Customer, unique
from tests.e2e.support.running_shop import RunningShop, opened_shop
from tests.no_opentelemetry import hiding_opentelemetry

ARRIVES_WITHIN_S = 60.0
ENDS_WITHIN_S = 60.0  # half of what a service would wait that waits for its collector
CHECKOUT = """\
shop-order server order.v1.OrderService/CreateOrder
  shop-order client update orders
  shop-order client EVAL forget
  shop-order client inventory.v1.InventoryService/ReserveStock
    shop-inventory server inventory.v1.InventoryService/ReserveStock
      shop-inventory client find reservations
      shop-inventory client find products
      shop-inventory client update products
      shop-inventory client insert reservations
      shop-inventory client commitTransaction admin
      shop-inventory client EVAL forget
  shop-order client user.v1.UserService/GetUserProfile
    shop-user server user.v1.UserService/GetUserProfile
      shop-user client EVAL look
      shop-user client find users
      shop-user client EVAL fill
  shop-order client update orders
  shop-order internal settle
    shop-order client inventory.v1.InventoryService/CommitReservation
      shop-inventory server inventory.v1.InventoryService/CommitReservation
        shop-inventory client findAndModify reservations
        shop-inventory client update products
        shop-inventory client commitTransaction admin
    shop-order client update orders
"""
"""A checkout by a customer whose profile nobody has read."""

WAYS = [(Transport.GRPCIO, MongoDriver.MOTOR)]
if NATIVE_INSTALLED:
    WAYS.append((Transport.NATIVE, MongoDriver.PYMONGO))
ONE_WAY = WAYS[-1:]  # for what neither transport nor driver has a part in

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as running:
        yield running


@pytest.fixture(scope="module", params=WAYS, ids="-".join)
async def traced_processes(
    request: pytest.FixtureRequest,
    mongo_uri: str,
    redis_url: str,
    collector: Collector,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[RunningShop]:
    """A shop all of whose calls are traced, unless their callers say otherwise."""
    transport, driver = request.param
    async with opened_shop(
        tmp_path_factory.mktemp("traced"),
        mongo_uri=mongo_uri,
        redis_url=redis_url,
        ledger_uri=mongo_uri,
        SHOP_TRANSPORT=transport,
        SHOP_MONGO_DRIVER=driver,
        SHOP_LOG_LEVEL="debug",
        SHOP_REDIS_TIMEOUT_MS="5000",  # where Redis is given up, spans are missing
        SHOP_TRACING="otlp",
        SHOP_TRACING_SAMPLE_RATIO="1",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        OTEL_BSP_SCHEDULE_DELAY="100",
    ) as running:
        yield running


@pytest.fixture
async def traced(traced_processes: RunningShop) -> RunningShop:
    """The same, whatever the test before did to its processes."""
    await traced_processes.start_all()
    return traced_processes


@pytest.fixture
async def product_id(traced: RunningShop) -> str:
    return await (await traced.admin()).add_product()


@pytest.fixture(scope="module")
async def lasting_product_id(traced_processes: RunningShop) -> str:
    """A product for tests that start Inventory themselves."""
    return await (await traced_processes.admin()).add_product()


@pytest.fixture
async def customer(traced: RunningShop) -> Customer:
    """Somebody whose profile no cache has."""
    return await traced.customer("traced")


def paths(lines: Iterable[str]) -> set[tuple[str, ...]]:
    """Return each line of an indented tree with all that it is below."""
    found: set[tuple[str, ...]] = set()
    above: list[str] = []
    for line in lines:
        name = line.lstrip()
        above[(len(line) - len(name)) // 2 :] = [name]
        found.add(tuple(above))
    return found


async def arrived(collector: Collector, trace_id: str) -> list[CollectedSpan]:
    """Wait until all of a checkout is here and return it."""

    async def is_whole() -> bool:
        return paths(CHECKOUT.splitlines()) <= paths(tree(collector.spans(trace_id)))

    try:
        await eventually(is_whole, ARRIVES_WITHIN_S, "the trace is not whole")
    except AssertionError:
        pytest.fail("\n".join(["there is only:", *tree(collector.spans(trace_id))]))
    return collector.spans(trace_id)


async def bought(customer: Customer, product_id: str, traceparent: str) -> None:
    """Check out as a caller who is traced, or says that they shall not be."""
    request = order_pb2.CreateOrderRequest(
        request_id=unique("traced"),
        items=[order_pb2.OrderItem(product_id=product_id, quantity=1)],
    )
    metadata = [("authorization", f"Bearer {customer.token}"), ("traceparent", traceparent)]
    await customer.stubs.orders.CreateOrder(request, timeout=TIMEOUT_S, metadata=metadata)


async def trace_of(collector: Collector, call_id: str) -> str:
    """Return the trace that a call began, by the name that its caller gave it."""
    found: set[str] = set()

    async def is_there() -> bool:
        found.update(
            span.trace_id
            for span in collector.spans()
            if span.attributes.get("shop.request_id") == call_id
        )
        return bool(found)

    await eventually(is_there, ARRIVES_WITHIN_S, "no span of the call has arrived")
    (trace_id,) = found
    return trace_id


async def test_a_checkout_is_one_trace_through_all_services_and_their_stores(
    traced: RunningShop, collector: Collector, customer: Customer, product_id: str
) -> None:
    call_id = unique("trace.me")
    await customer.buy({product_id: 1}, call_id=call_id)

    trace_id = await trace_of(collector, call_id)
    await arrived(collector, trace_id)

    async def has_one_root() -> bool:  # what a span belongs to may still be on its way
        spans = collector.spans(trace_id)
        known = {span.span.span_id for span in spans}
        roots = [span for span in spans if span.span.parent_span_id not in known]
        return [(span.name, span.span.parent_span_id) for span in roots] == [
            ("order.v1.OrderService/CreateOrder", b"")
        ]

    await eventually(has_one_root, ARRIVES_WITHIN_S, "a span belongs to nothing")
    lines = traced.log("order").splitlines()
    assert any(call_id in line and trace_id in line for line in lines)


async def test_a_trace_that_the_caller_has_begun_is_continued(
    collector: Collector, customer: Customer, product_id: str
) -> None:
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    await bought(customer, product_id, f"00-{trace_id}-{span_id}-01")

    spans = await arrived(collector, trace_id)

    (first,) = [span for span in spans if span.name == "order.v1.OrderService/CreateOrder"]
    assert first.span.parent_span_id.hex() == span_id


async def test_nothing_is_sent_of_a_call_whose_caller_does_not_want_it_traced(
    collector: Collector, customer: Customer, traced: RunningShop, product_id: str
) -> None:
    unwanted, wanted = secrets.token_hex(16), secrets.token_hex(16)
    await bought(customer, product_id, f"00-{unwanted}-{secrets.token_hex(8)}-00")
    await traced.ledger.at_rest(product_id)
    another = await traced.customer("wanted")
    await bought(another, product_id, f"00-{wanted}-{secrets.token_hex(8)}-01")

    await arrived(collector, wanted)

    assert not collector.spans(unwanted)


async def test_nothing_secret_and_nobody_s_data_is_sent(
    traced: RunningShop, collector: Collector, customer: Customer, product_id: str
) -> None:
    trace_id = secrets.token_hex(16)
    await bought(customer, product_id, f"00-{trace_id}-{secrets.token_hex(8)}-01")
    await arrived(collector, trace_id)
    names = {span.name for span in collector.spans()}
    assert {"user.v1.UserService/RegisterUser", "user.v1.UserService/AuthenticateUser"} <= names

    sent = b"\n".join(request.SerializeToString() for request in collector.requests).lower()

    credentials = traced.settings.credentials
    unspeakable = (
        customer.password,
        customer.email,
        customer.username,
        "Full traced",
        customer.token,
        customer.refresh_token,
        customer.user_id,
        credentials.admin_password,
        "Bearer",
        "eyJ",  # what every access token begins with
        "argon2",
    )
    assert not [text for text in unspeakable if text.lower().encode() in sent]


async def test_of_a_call_that_is_refused_the_trace_tells_the_status_and_not_the_reason(
    collector: Collector, customer: Customer, traced: RunningShop
) -> None:
    call_id = unique("refuse.me")
    metadata = [("x-request-id", call_id)]
    request = inventory_pb2.GetProductRequest(product_id=secrets.token_hex(12))
    call = traced.inventory.GetProduct(request, timeout=TIMEOUT_S, metadata=metadata)
    assert (await call.code()).name == "NOT_FOUND"

    spans = collector.spans(await trace_of(collector, call_id))

    (server,) = [span for span in spans if span.kind == "server"]
    assert server.attributes["rpc.response.status_code"] == "NOT_FOUND"
    assert server.span.status.code == 0
    assert not server.span.events


@pytest.fixture
def no_opentelemetry(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that finds no OpenTelemetry."""
    return hiding_opentelemetry(tmp_path)


async def read(shop: RunningShop, product_id: str) -> inventory_pb2.Product:
    return await shop.nobody.product(product_id)


async def served_and_ended(shop: RunningShop, product_id: str) -> float:
    """Let Inventory answer 20 reads, end it, and return how long it took to end."""
    for _ in range(20):
        assert (await read(shop, product_id)).product_id == product_id
    began = time.monotonic()
    assert await shop.signal("inventory", signal.SIGTERM) == 0
    return time.monotonic() - began


@pytest.mark.parametrize("traced_processes", ONE_WAY, indirect=True, ids="-".join)
async def test_calls_go_on_where_there_is_no_collector_and_the_log_says_so_once(
    traced_processes: RunningShop, lasting_product_id: str
) -> None:
    with claimed_ports(1) as (port,):
        await traced_processes.restart(
            "inventory",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            OTEL_EXPORTER_OTLP_TIMEOUT="1",
        )

        async def is_said() -> bool:
            await read(traced_processes, lasting_product_id)
            return "traces are lost" in traced_processes.log("inventory")

        await eventually(is_said, ARRIVES_WITHIN_S, "the log does not say that traces are lost")
        took_s = await served_and_ended(traced_processes, lasting_product_id)
    said = traced_processes.log("inventory")
    assert took_s < ENDS_WITHIN_S
    assert said.count("traces are lost") == 1
    assert "Failed to export" not in said
    assert "Transient error" not in said


@pytest.mark.parametrize("traced_processes", ONE_WAY, indirect=True, ids="-".join)
async def test_a_collector_that_never_answers_holds_up_no_end(
    traced_processes: RunningShop, lasting_product_id: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        await traced_processes.restart(
            "inventory",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}",
            OTEL_EXPORTER_OTLP_TIMEOUT="120",
        )
        took_s = await served_and_ended(traced_processes, lasting_product_id)
    assert took_s < ENDS_WITHIN_S


@pytest.mark.parametrize("traced_processes", ONE_WAY, indirect=True, ids="-".join)
async def test_a_service_that_is_not_traced_loads_nothing_that_traces(
    traced_processes: RunningShop, lasting_product_id: str
) -> None:
    async def imported(**variables: str) -> str:
        """Return what is imported by a service that is started and read from."""
        await traced_processes.restart("inventory", PYTHONPROFILEIMPORTTIME="1", **variables)
        await read(traced_processes, lasting_product_id)
        said = traced_processes.log("inventory")
        assert "services.inventory.bootstrap" in said
        return said

    without, with_it = await imported(SHOP_TRACING="off"), await imported()
    # Redis's client loads OpenTelemetry's metrics wherever they are installed.
    for module in (
        "opentelemetry.sdk.trace",
        "opentelemetry.exporter",
        "services.common.tracing.assembly",
    ):
        assert module not in without
        assert module in with_it


async def test_a_service_that_is_not_traced_serves_without_opentelemetry(
    traced_processes: RunningShop, lasting_product_id: str, no_opentelemetry: dict[str, str]
) -> None:
    await traced_processes.restart("inventory", SHOP_TRACING="off", **no_opentelemetry)
    product = await read(traced_processes, lasting_product_id)
    assert product.product_id == lasting_product_id
