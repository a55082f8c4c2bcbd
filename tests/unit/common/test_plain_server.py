"""Each interceptor alone, given to a server as any interceptor is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio
from shop.inventory.v1 import inventory_pb2 as pb
from shop.inventory.v1 import inventory_pb2_grpc as pb_grpc
from structlog.testing import capture_logs

from services.common.auth.principal import Principal, Role
from services.common.auth.tokens import TokenSigner, TokenVerifier
from services.common.call import Call, current_call, enter_call
from services.common.errors import NotFound
from services.common.rpc.access import PUBLIC, SIGNED_IN
from services.common.rpc.adaptive_limit import WINDOW_CALLS, AdaptiveLimit
from services.common.rpc.interceptors.authorization import AuthorizationInterceptor
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.interceptors.concurrency_limit import ConcurrencyLimitInterceptor
from services.common.rpc.interceptors.deadline import DeadlineInterceptor
from services.common.rpc.interceptors.error_mapping import ErrorMappingInterceptor
from services.common.rpc.interceptors.metrics import MetricsInterceptor
from services.common.rpc.interceptors.request_log import RequestLogInterceptor
from services.common.rpc.load_gauge import LoadGauge
from services.common.rpc.methods import Context, Method
from services.common.rpc.transport import NATIVE_INSTALLED, Transport
from services.common.telemetry.rpc import RpcMetrics
from services.common.tracing.roots import Roots
from services.common.tracing.server import TracingInterceptor
from tests.patience import PATIENCE_S, until
from tests.spans import Spans, parent_id
from tests.unit.common.fakes import new_signing_key, trusting

GET, LIST = (f"/shop.inventory.v1.InventoryService/{name}Product{s}" for name, s in
             (("Get", ""), ("List", "s")))  # fmt: skip
USER_KEY = new_signing_key()
VERIFIER = TokenVerifier(trusting(user=USER_KEY))
TIMEOUT_S = PATIENCE_S


class Inventory:
    """Answers with who called; waits, if the request says so; fails as its ``failure`` says."""

    failure: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(pb_grpc.InventoryServiceServicer, name)

    async def GetProduct(
        self, request: pb.GetProductRequest, context: Context
    ) -> pb.GetProductResponse:
        if self.failure is not None:
            raise self.failure
        if request.product_id == "slow":
            await asyncio.sleep(30)
        await asyncio.sleep(0.001)
        call = current_call()
        return pb.GetProductResponse(
            product=pb.Product(name=call.principal.subject, sku=call.request_id)
        )

    async def ListProducts(
        self, request: pb.ListProductsRequest, context: Context
    ) -> pb.ListProductsResponse:
        return pb.ListProductsResponse(next_page_token=current_call().principal.subject)


def plain_server(transport: Transport, interceptors: Sequence[MethodInterceptor]) -> aio.Server:
    if transport is Transport.GRPCIO:
        return aio.server(interceptors=interceptors)
    import pygrpc_native.aio

    return pygrpc_native.aio.server(interceptors=interceptors)


@pytest.fixture(params=[Transport.NATIVE, Transport.GRPCIO] if NATIVE_INSTALLED else ["grpcio"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return Transport(request.param)


@asynccontextmanager
async def served(
    transport: Transport, *interceptors: MethodInterceptor, inventory: Inventory | None = None
) -> AsyncIterator[Any]:
    server = plain_server(transport, interceptors)
    pb_grpc.add_InventoryServiceServicer_to_server(
        inventory or Inventory(),  # type: ignore[arg-type]
        server,
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield pb_grpc.InventoryServiceStub(channel)
    await server.stop(None)


async def get(stub: Any, product_id: str = "", **options: Any) -> pb.Product:
    options.setdefault("timeout", TIMEOUT_S)
    answer = await stub.GetProduct(pb.GetProductRequest(product_id=product_id), **options)
    return answer.product  # type: ignore[no-any-return]


async def code_of(call: Any) -> grpc.StatusCode:
    try:
        await call
    except aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def bearer(principal: Principal) -> list[tuple[str, str]]:
    token, _ = TokenSigner(USER_KEY, "user").sign(principal, 60)
    return [("authorization", f"Bearer {token}")]


def customer(n: int) -> Principal:
    return Principal(f"{n:024x}", Role.CUSTOMER)


async def test_metrics(transport: Transport) -> None:
    metrics, inventory = RpcMetrics(), Inventory()
    async with served(transport, MetricsInterceptor(metrics), inventory=inventory) as stub:
        await asyncio.gather(*(get(stub) for _ in range(5)))
        inventory.failure = RuntimeError("expected")
        await code_of(get(stub))
    series = metrics.of(GET)
    assert (series.started, series.ok, series.handled) == (6, 5, 6)
    assert metrics.of(LIST).started == 0


async def test_request_log(transport: Transport) -> None:
    with capture_logs() as logs:
        async with served(transport, RequestLogInterceptor(every_call=True)) as stub:
            product = await get(stub, metadata=[("x-request-id", "mine")])
            other = await get(stub)
    assert product.sku == "mine"
    assert other.sku not in {"", "-", "mine"}
    assert [(line["method"], line["code"]) for line in logs] == [(GET, "OK")] * 2


async def test_tracing(transport: Transport) -> None:
    spans, inventory = Spans(), Inventory()
    async with served(
        transport, TracingInterceptor(spans.tracer, Roots(1.0)), inventory=inventory
    ) as stub:
        sent = [("traceparent", f"00-{'a' * 32}-{'b' * 16}-01")]
        await get(stub, metadata=sent)
        await asyncio.gather(*(get(stub) for _ in range(3)))
        inventory.failure = RuntimeError("expected")
        await code_of(get(stub))
    first, *others, failed = spans.ended
    assert parent_id(first) == int("b" * 16, 16)
    assert [parent_id(span) for span in (*others, failed)] == [0, 0, 0, 0]
    assert len({span.context.trace_id for span in spans.ended if span.context}) == 5
    assert failed.attributes is not None
    assert failed.attributes["rpc.response.status_code"] == "UNKNOWN"


async def test_error_mapping(transport: Transport) -> None:
    inventory = Inventory()
    inventory.failure = NotFound("nothing here")
    interceptor = ErrorMappingInterceptor("shop.inventory.v1", lambda _error: None)
    async with served(transport, interceptor, inventory=inventory) as stub:
        assert await code_of(get(stub)) is grpc.StatusCode.NOT_FOUND


async def test_deadline(transport: Transport) -> None:
    errors = ErrorMappingInterceptor("shop.inventory.v1", lambda _error: None)
    deadline = DeadlineInterceptor({"GetProduct": 0.05, "ListProducts": 60.0})
    async with served(transport, errors, deadline) as stub:
        assert await code_of(get(stub, "slow")) is grpc.StatusCode.DEADLINE_EXCEEDED
        listing = stub.ListProducts(pb.ListProductsRequest(), timeout=TIMEOUT_S)
        assert await code_of(listing) is grpc.StatusCode.OK


async def test_concurrency_limit(transport: Transport) -> None:
    limiter = ConcurrencyLimitInterceptor(AdaptiveLimit(2, 2, 2), LoadGauge(), 0, 1.0)
    errors = ErrorMappingInterceptor("shop.inventory.v1", lambda _error: None)
    async with served(transport, errors, limiter) as stub:
        slow = [
            stub.GetProduct(pb.GetProductRequest(product_id="slow"), timeout=PATIENCE_S)
            for _ in range(2)
        ]
        await until(lambda: limiter.in_flight == 2)
        refused = stub.GetProduct(pb.GetProductRequest(), timeout=TIMEOUT_S)
        assert await refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        trailing = dict(iter(await refused.trailing_metadata()))
        assert b"google.rpc.RetryInfo" in trailing["grpc-status-details-bin"]
        if transport is Transport.GRPCIO:  # native keeps grpc-* metadata of handlers back
            assert int(trailing["grpc-retry-pushback-ms"]) > 0
        for call in slow:
            call.cancel()
        await until(lambda: limiter.in_flight == 0)
        assert await code_of(get(stub)) is grpc.StatusCode.OK


async def test_the_concurrency_limit_learns_as_it_does_when_composed(transport: Transport) -> None:
    limit = AdaptiveLimit(8, at_least=1, at_most=100)
    limiter = ConcurrencyLimitInterceptor(limit, LoadGauge(), 100, TIMEOUT_S)
    async with served(transport, limiter) as stub:
        for _ in range(16 * WINDOW_CALLS // 8):
            await asyncio.gather(*(get(stub) for _ in range(8)))
    assert limiter.limit > 8


async def test_authorization(transport: Transport) -> None:
    errors = ErrorMappingInterceptor("shop.inventory.v1", lambda _error: None)
    access = {"GetProduct": SIGNED_IN, "ListProducts": PUBLIC}
    async with served(transport, errors, AuthorizationInterceptor(access, VERIFIER)) as stub:
        assert await code_of(get(stub)) is grpc.StatusCode.UNAUTHENTICATED
        assert (await get(stub, metadata=bearer(customer(7)))).name == customer(7).subject
        undeclared = stub.DeleteProduct(pb.DeleteProductRequest(), timeout=TIMEOUT_S)
        assert await code_of(undeclared) is grpc.StatusCode.PERMISSION_DENIED


async def test_nobody_is_taken_for_somebody_else(transport: Transport) -> None:
    """Not even by a server that was started while somebody was served."""
    theirs = Call("theirs", carrier=_SomebodysContext())
    theirs.principal = customer(666)
    access = {"GetProduct": SIGNED_IN, "ListProducts": PUBLIC}
    authorization = AuthorizationInterceptor(access, VERIFIER)
    errors = ErrorMappingInterceptor("shop.inventory.v1", lambda _error: None)

    async def while_served() -> None:
        enter_call(theirs)
        async with served(transport, errors, authorization) as stub:
            await _call_by_turns(stub)

    async with served(transport, errors, authorization) as stub:
        await _call_by_turns(stub)
    await asyncio.create_task(while_served())


class _SomebodysContext:
    def invocation_metadata(self) -> list[tuple[str, str]]:
        return bearer(customer(666))


async def _call_by_turns(stub: Any) -> None:
    async def known(n: int) -> None:
        product = await get(stub, metadata=bearer(customer(n)))
        assert product.name == customer(n).subject

    async def unknown() -> None:
        assert await code_of(get(stub)) is grpc.StatusCode.UNAUTHENTICATED

    for n in range(5):
        await known(n)
        await unknown()
    await asyncio.gather(*(known(n % 20) if n % 3 else unknown() for n in range(200)))


async def test_what_is_put_round_a_method_is_put_together_once(transport: Transport) -> None:
    bound: list[str] = []

    class Counting(MethodInterceptor):
        def bind(self, method: Method, method_name: str) -> Method:
            bound.append(method_name)
            return method

    async with served(transport, Counting(), RequestLogInterceptor()) as stub:
        await asyncio.gather(*(get(stub) for _ in range(20)))
        await stub.ListProducts(pb.ListProductsRequest(), timeout=TIMEOUT_S)
    assert bound == [GET, LIST]
