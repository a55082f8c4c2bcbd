"""``cache-control`` and ``x-cache`` on the wire, with the whole chain round the methods."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status
from shop.inventory.v1 import inventory_pb2 as pb
from shop.inventory.v1 import inventory_pb2_grpc as pb_grpc
from structlog.testing import capture_logs

from services.common.auth.principal import Principal, Role
from services.common.auth.tokens import TokenSigner, TokenVerifier
from services.common.call import current_call
from services.common.errors import NotFound
from services.common.freshness import Freshness, Source
from services.common.rpc.chain import Chain, ChainOptions, LimitKind
from services.common.rpc.compose import compose
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.interceptors.cache_control import (
    CacheControlInterceptor,
    CacheControlPolicy,
)
from services.common.rpc.methods import Context, Method
from services.common.rpc.registration import register
from services.common.rpc.service import Service
from services.common.rpc.transport import NATIVE_INSTALLED, Endpoint, Transport, open_server
from services.inventory.access import ACCESS
from tests.unit.common.fakes import new_signing_key, trusting

SERVICE = pb.DESCRIPTOR.services_by_name["InventoryService"]
USER_KEY = new_signing_key()
VERIFIER = TokenVerifier(trusting(user=USER_KEY))
CACHED = ("GetProduct", "BatchGetProducts")
TIMEOUT_S = 30.0


class Inventory:
    """Reads one product from where its call may, or finds nothing; reads many for far too long."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pb_grpc.InventoryServiceServicer, name)

    async def GetProduct(
        self, request: pb.GetProductRequest, context: Context
    ) -> pb.GetProductResponse:
        call = current_call()
        if call.freshness is Freshness.STORE:
            call.answered_from(Source.BYPASS)
        elif call.freshness is Freshness.SHARED:
            call.answered_from(Source.REDIS, 250)
        else:
            call.answered_from(Source.NEAR, 12)
        if request.product_id == "nothing":
            raise NotFound("nothing here")
        return pb.GetProductResponse()

    async def BatchGetProducts(
        self, request: pb.BatchGetProductsRequest, context: Context
    ) -> pb.BatchGetProductsResponse:
        current_call().answered_from(Source.REDIS, 7)
        await asyncio.sleep(60)
        return pb.BatchGetProductsResponse()

    async def ListProducts(
        self, request: pb.ListProductsRequest, context: Context
    ) -> pb.ListProductsResponse:
        return pb.ListProductsResponse()


@pytest.fixture(params=["native", "grpcio"] if NATIVE_INSTALLED else ["grpcio"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return Transport(request.param)


@asynccontextmanager
async def served(transport: Transport, interceptors: Sequence[MethodInterceptor]) -> Any:
    server, port = open_server(Endpoint("127.0.0.1:0", transport))
    register(compose(Inventory(), SERVICE, interceptors), SERVICE, server)
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield pb_grpc.InventoryServiceStub(channel)
    await server.stop(None)


@pytest.fixture
async def stub(transport: Transport) -> AsyncIterator[Any]:
    service = Service(SERVICE, Inventory(), ACCESS, {"BatchGetProducts": 0.2}, cached=CACHED)
    options = ChainOptions(
        LimitKind.OFF, max_in_flight=1, log_every_call=False, cache_control=CacheControlPolicy.ADMIN
    )
    chain = Chain(service, VERIFIER, lambda _error: None, options)
    with capture_logs():
        async with served(transport, chain.interceptors) as inventory:
            yield inventory


def admin() -> tuple[str, str]:
    token, _ = TokenSigner(USER_KEY, "user").sign(Principal("5" * 24, Role.ADMIN), 60)
    return ("authorization", f"Bearer {token}")


def get(stub: Any, *metadata: tuple[str, str], product_id: str = "") -> Any:
    request = pb.GetProductRequest(product_id=product_id)
    return stub.GetProduct(request, metadata=metadata, timeout=TIMEOUT_S)


async def told(call: Any) -> Any:
    """What the call is told of the caches."""
    return dict(iter(await call.trailing_metadata())).get("x-cache")


@pytest.mark.parametrize(
    ("directive", "answered"),
    [("no-cache", "bypass"), ("no-near", "redis; age_ms=250"), ("max-age=0", "near; age_ms=12")],
)
async def test_an_administrator_chooses_what_may_answer_and_is_told_what_did(
    stub: Any, directive: str, answered: str
) -> None:
    assert await told(get(stub, admin(), ("cache-control", directive))) == answered


async def test_anybody_is_told_and_nobody_else_chooses(stub: Any) -> None:
    assert await told(get(stub)) == "near; age_ms=12"
    asking = get(stub, ("cache-control", "no-cache"), ("authorization", "Bearer forged"))
    assert await told(asking) == "near; age_ms=12"
    assert await asking.code() is grpc.StatusCode.OK


async def test_a_refusal_tells_beside_its_details(stub: Any) -> None:
    call = get(stub, product_id="nothing")
    assert await told(call) == "near; age_ms=12"
    with pytest.raises(aio.AioRpcError) as refused:
        await call
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    status = rpc_status.from_call(refused.value)  # type: ignore[arg-type]
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    assert info.reason == "NOT_FOUND"


async def test_a_call_that_took_too_long_is_refused_as_such_and_tells(stub: Any) -> None:
    call = stub.BatchGetProducts(pb.BatchGetProductsRequest(), timeout=TIMEOUT_S)
    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await told(call) == "redis; age_ms=7"


async def test_a_method_without_a_cache_tells_nothing(stub: Any) -> None:
    assert await told(stub.ListProducts(pb.ListProductsRequest(), timeout=TIMEOUT_S)) is None


async def test_a_call_that_its_client_gives_up_ends_as_cancelled(transport: Transport) -> None:
    begun, ends = asyncio.Event(), asyncio.Queue[BaseException]()

    class Noting(MethodInterceptor):
        def bind(self, method: Method, method_name: str) -> Method:
            async def call(request: Any, context: Context) -> Any:
                begun.set()
                try:
                    return await method(request, context)
                except BaseException as error:
                    ends.put_nowait(error)
                    raise

            return call

    cache_control = CacheControlInterceptor(CacheControlPolicy.ADMIN, VERIFIER, CACHED)
    async with served(transport, [Noting(), cache_control]) as stub, asyncio.timeout(TIMEOUT_S):
        call = stub.BatchGetProducts(pb.BatchGetProductsRequest(), timeout=TIMEOUT_S)
        await begun.wait()
        call.cancel()
        assert isinstance(await ends.get(), asyncio.CancelledError)
