"""The whole chain of interceptors, on a real server."""

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass
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
from services.common.auth.tokens import ServiceIdentity, TokenSigner, TokenVerifier
from services.common.call import Call, current_call, enter_call, remaining_s
from services.common.errors import DeadlineExceeded, FieldViolation, InvalidArgument, NotFound
from services.common.rpc.chain import Chain, ChainOptions, LimitKind
from services.common.rpc.channel import PeerCaller, PeerUnavailable, open_channel
from services.common.rpc.compose import compose
from services.common.rpc.methods import Context
from services.common.rpc.registration import register
from services.common.rpc.service import Service
from services.inventory.access import ACCESS
from tests.patience import PATIENCE_S
from tests.unit.common.fakes import new_signing_key, trusting

SERVICE_KEY, USER_KEY = new_signing_key(), new_signing_key()
IDENTITY = ServiceIdentity("order", SERVICE_KEY)


class Inventory:
    """Says who called, with which request id and time; or fails as its ``failure`` says."""

    failure: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(pb_grpc.InventoryServiceServicer, name)

    async def GetProduct(
        self, request: pb.GetProductRequest, context: Context
    ) -> pb.GetProductResponse:
        return self._answer()

    async def CommitReservation(
        self, request: pb.CommitReservationRequest, context: Context
    ) -> pb.CommitReservationResponse:
        self._answer()
        return pb.CommitReservationResponse()

    def _answer(self) -> pb.GetProductResponse:
        if self.failure is not None:
            raise self.failure
        call = current_call()
        self.seen = (call.principal, call.request_id, remaining_s(3600))
        return pb.GetProductResponse()


@dataclass
class Shop:
    inventory: Inventory
    stub: Any


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    inventory = Inventory()
    service = Service(
        pb.DESCRIPTOR.services_by_name["InventoryService"],
        inventory,
        ACCESS,
        {"GetProduct": 100.0, "CommitReservation": 100.0},
    )
    keys = trusting(order=SERVICE_KEY, user=USER_KEY)
    verifier = TokenVerifier(keys, service=service.descriptor.full_name)
    options = ChainOptions(LimitKind.ADAPTIVE, max_in_flight=100, log_every_call=False)
    chain = Chain(service, verifier, lambda _error: None, options).interceptors
    server = aio.server()
    register(compose(inventory, service.descriptor, chain), service.descriptor, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with capture_logs():
        async with open_channel(f"127.0.0.1:{port}") as channel:
            await asyncio.wait_for(channel.channel_ready(), PATIENCE_S)
            yield Shop(inventory, pb_grpc.InventoryServiceStub(channel))
    await server.stop(None)


async def refusal(call: Any) -> aio.AioRpcError:
    with pytest.raises(aio.AioRpcError) as refused:
        await call
    return refused.value


def violations(error: aio.AioRpcError) -> list[str]:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    bad = error_details_pb2.BadRequest()
    assert status is not None
    assert any(entry.Unpack(bad) for entry in status.details)
    return [violation.field for violation in bad.field_violations]


async def test_a_call_arrives_with_its_request_id_and_its_time(shop: Shop) -> None:
    await shop.stub.GetProduct(
        pb.GetProductRequest(), timeout=300, metadata=[("x-request-id", "mine")]
    )
    _, request_id, left_s = shop.inventory.seen
    assert request_id == "mine"
    assert 10 < left_s <= 100


async def test_a_refusal_reaches_the_client_with_its_details(shop: Shop) -> None:
    shop.inventory.failure = NotFound("nothing here")
    error = await refusal(shop.stub.GetProduct(pb.GetProductRequest()))
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "nothing here")


async def test_an_exception_reaches_the_client_without_its_text(shop: Shop) -> None:
    shop.inventory.failure = RuntimeError("hunter2")
    error = await refusal(shop.stub.GetProduct(pb.GetProductRequest()))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "hunter2" not in f"{error.details()}{error.trailing_metadata()}{error}"


async def test_a_request_wrong_in_a_thousand_ways_is_still_refused_as_invalid(shop: Shop) -> None:
    shop.inventory.failure = InvalidArgument(
        [FieldViolation(f"product_ids[{n}]", "must be better") for n in range(1000)]
    )
    error = await refusal(shop.stub.GetProduct(pb.GetProductRequest()))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert violations(error)[:2] == ["product_ids[0]", "product_ids[1]"]


async def test_a_method_for_services_is_closed_to_others(shop: Shop) -> None:
    admin = Principal("5" * 24, Role.ADMIN)
    token, _ = TokenSigner(USER_KEY, "user").sign(admin, 60)
    request = pb.CommitReservationRequest()
    nobody = await refusal(shop.stub.CommitReservation(request))
    known = await refusal(
        shop.stub.CommitReservation(request, metadata=[("authorization", f"Bearer {token}")])
    )
    assert nobody.code() is grpc.StatusCode.UNAUTHENTICATED
    assert known.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_refused_call_leaves_nothing_that_only_the_collector_frees(shop: Shop) -> None:
    def kept() -> int:
        return sum(isinstance(found, aio.AbortError) for found in gc.get_objects())

    request = pb.CommitReservationRequest()
    await refusal(shop.stub.CommitReservation(request))
    gc.collect()
    gc.disable()
    try:
        before = kept()  # of other tests too
        for _ in range(20):
            await refusal(shop.stub.CommitReservation(request))
        async with asyncio.timeout(PATIENCE_S):
            while kept() > before + 1:  # noqa: ASYNC110 (the library keeps the last one)
                await asyncio.sleep(0.01)
    finally:
        gc.enable()


async def test_a_service_calls_another_with_its_identity_and_the_time_it_has_left(
    shop: Shop,
) -> None:
    async def calling() -> None:
        enter_call(Call("mine", deadline=asyncio.get_running_loop().time() + 30.0))
        peer = PeerCaller("shop.inventory.v1.InventoryService", IDENTITY, timeout_s=60.0)
        await peer.call(shop.stub.CommitReservation, pb.CommitReservationRequest())

    await asyncio.create_task(calling())
    principal, request_id, left_s = shop.inventory.seen
    assert principal == Principal("order", Role.SERVICE)
    assert request_id == "mine"
    assert 0 < left_s <= 30


async def test_a_peer_that_refuses_is_told_from_one_that_is_down(shop: Shop) -> None:
    peer = PeerCaller("shop.inventory.v1.InventoryService", IDENTITY, timeout_s=5.0)
    shop.inventory.failure = NotFound("nothing here")
    error = await refusal(peer.call(shop.stub.CommitReservation, pb.CommitReservationRequest()))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    shop.inventory.failure = DeadlineExceeded("too slow")
    with pytest.raises(PeerUnavailable) as down:
        await peer.call(shop.stub.CommitReservation, pb.CommitReservationRequest())
    assert down.value.metadata == {
        "peer": "shop.inventory.v1.InventoryService",
        "peer_reason": "DEADLINE_EXCEEDED",
    }

    not_it = PeerCaller("shop.user.v1.UserService", IDENTITY, timeout_s=5.0)
    with pytest.raises(PeerUnavailable) as misled:
        await not_it.call(shop.stub.CommitReservation, pb.CommitReservationRequest())
    assert misled.value.metadata["peer_reason"] == "UNAUTHENTICATED"
