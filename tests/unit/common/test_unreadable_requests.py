"""Requests that are no message of their method, on a real server behind the whole chain."""

import asyncio
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

from services.common.auth.tokens import TokenVerifier
from services.common.rpc.access import PUBLIC, SERVICE
from services.common.rpc.chain import Chain, ChainOptions, LimitKind
from services.common.rpc.compose import compose
from services.common.rpc.registration import register
from services.common.rpc.service import Service
from services.common.rpc.transport import NATIVE_INSTALLED, Endpoint, Transport, open_server

CONTRACT = pb.DESCRIPTOR.services_by_name["InventoryService"]
ACCESS = {"GetProduct": PUBLIC, "ReserveStock": SERVICE}
TIMEOUT_S = 10.0


class Uncalled:
    """An inventory that is not to be reached."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pb_grpc.InventoryServiceServicer, name)


@dataclass
class Served:
    """A server behind the chain, and the way to it."""

    chain: Chain
    channel: aio.Channel

    async def refusal(self, method: str, request: bytes) -> aio.AioRpcError:
        call: Any = self.channel.unary_unary(f"/{CONTRACT.full_name}/{method}")
        with pytest.raises(aio.AioRpcError) as refused:
            await call(request, timeout=TIMEOUT_S)
        return refused.value

    async def handled(self) -> dict[tuple[str, str], float]:
        """Return how the calls have ended, once one has: its client hears of it a little before."""
        async with asyncio.timeout(TIMEOUT_S):
            while not (ended := self._ended()):  # noqa: ASYNC110 (it tells nobody when)
                await asyncio.sleep(0.005)
        return ended

    def _ended(self) -> dict[tuple[str, str], float]:
        return {
            (sample.labels["grpc_method"], sample.labels["grpc_code"]): sample.value
            for collector in self.chain.collectors()
            for metric in collector.collect()
            for sample in metric.samples
            if sample.name == "grpc_server_handled_total" and sample.value
        }


@pytest.fixture(params=["native", "grpcio"] if NATIVE_INSTALLED else ["grpcio"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    service = Service(CONTRACT, Uncalled(), ACCESS, {})
    options = ChainOptions(LimitKind.ADAPTIVE, max_in_flight=10, log_every_call=False)
    chain = Chain(service, TokenVerifier({}), lambda _error: None, options)
    server, port = open_server(Endpoint("127.0.0.1:0", Transport(request.param)))
    register(compose(service.servicer, CONTRACT, chain.interceptors), CONTRACT, server)
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with capture_logs():
            yield Served(chain, channel)
    await server.stop(None)


@pytest.mark.parametrize(
    "request_bytes",
    [b"\xff\xff\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe"],
    ids=["no fields", "cut off", "no text"],
)
@pytest.mark.parametrize("method", sorted(ACCESS))
async def test_they_are_invalid_whoever_sends_them_and_are_counted_as_that(
    served: Served, method: str, request_bytes: bytes
) -> None:
    refused = await served.refusal(method, request_bytes)
    assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.details() == "request: is no message of the type of this method"
    assert await served.handled() == {(method, "INVALID_ARGUMENT"): 1}


async def test_one_that_is_too_large_is_not_read_and_counted_as_that(served: Served) -> None:
    refused = await served.refusal("GetProduct", b"\xff" * 1025)
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.details() == "the request has 1,025 bytes, this method takes at most 1,024"
    assert await served.handled() == {("GetProduct", "RESOURCE_EXHAUSTED"): 1}


@pytest.mark.parametrize(
    ("raw", "reason"), [(b"\xff", "REQUEST_UNREADABLE"), (b"\xff" * 1025, "REQUEST_TOO_LARGE")]
)
async def test_they_are_refused_with_a_reason_for_programs(
    served: Served, raw: bytes, reason: str
) -> None:
    status = rpc_status.from_call(await served.refusal("GetProduct", raw))  # type: ignore[arg-type]
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert any(entry.Unpack(info) for entry in status.details)
    assert info.reason == reason
