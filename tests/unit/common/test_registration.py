"""What a handler may answer with, and what reaches the client."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.internal import encoder
from grpc import aio
from grpc_health.v1 import health, health_pb2
from shop.inventory.v1 import inventory_pb2 as pb
from shop.inventory.v1 import inventory_pb2_grpc as pb_grpc

from services.common.rpc.registration import DEFAULT_MAX_BYTES, register
from services.common.rpc.transport import (
    MAX_REQUEST_BYTES,
    NATIVE_INSTALLED,
    Endpoint,
    Transport,
    open_server,
)
from services.common.rpc.unreadable import RequestTooLarge, RequestUnreadable
from tests.e2e.support.refusals import outcome
from tests.unit.common.test_access_tables import DESCRIPTORS, max_bytes

SERVICE: ServiceDescriptor = pb.DESCRIPTOR.services_by_name["InventoryService"]
LAMP = pb.GetProductResponse(product=pb.Product(product_id="5", name="Lampe à pied", stock=7))
TIMEOUT_S = 10.0
CODE_OK, NOTHING = grpc.StatusCode.OK, type(None)


class Inventory:
    """Answers every method with what it was made with, and keeps the request."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __getattr__(self, _method: str) -> Any:
        return self._serve

    async def _serve(self, request: Any, _context: Any) -> Any:
        self.request = request
        return self._answer


@pytest.fixture(params=["native", "grpcio"] if NATIVE_INSTALLED else ["grpcio"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return Transport(request.param)


@asynccontextmanager
async def connected(transport: Transport, inventory: Inventory) -> AsyncIterator[aio.Channel]:
    server, port = open_server(Endpoint("127.0.0.1:0", transport))
    register(inventory, SERVICE, server)
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


@asynccontextmanager
async def served(transport: Transport, inventory: Inventory) -> AsyncIterator[Any]:
    async with connected(transport, inventory) as channel:
        yield pb_grpc.InventoryServiceStub(channel)


@pytest.mark.parametrize("answer", [LAMP, LAMP.SerializeToString()], ids=["message", "bytes"])
async def test_an_answer_arrives_whether_it_was_a_message_or_serialized_before(
    transport: Transport, answer: pb.GetProductResponse | bytes
) -> None:
    inventory = Inventory(answer)
    async with served(transport, inventory) as stub:
        received = await stub.GetProduct(pb.GetProductRequest(product_id="5"), timeout=TIMEOUT_S)
    assert received == LAMP
    assert inventory.request == pb.GetProductRequest(product_id="5")


async def test_an_answer_of_no_bytes_is_the_empty_message(transport: Transport) -> None:
    async with served(transport, Inventory(b"")) as stub:
        received = await stub.GetProduct(pb.GetProductRequest(), timeout=TIMEOUT_S)
    assert received == pb.GetProductResponse()


async def test_every_method_of_the_contract_is_served_with_its_own_messages(
    transport: Transport,
) -> None:
    inventory = Inventory(b"")
    async with served(transport, inventory) as stub:
        for method in SERVICE.methods:
            request = getattr(pb, method.input_type.name)()
            answer = await getattr(stub, method.name)(request, timeout=TIMEOUT_S)
            assert type(inventory.request) is type(request)
            assert type(answer) is getattr(pb, method.output_type.name)


@pytest.mark.parametrize("raw", [b"\xff", b"\x0a\x05abc", b"\x0a\x02\xff\xfe"])
async def test_a_request_that_is_no_message_is_handed_on_as_unreadable(
    transport: Transport, raw: bytes
) -> None:
    inventory = Inventory(b"")
    async with connected(transport, inventory) as channel:
        send: Any = channel.unary_unary(f"/{SERVICE.full_name}/GetProduct")
        await send(raw, timeout=TIMEOUT_S)
    assert type(inventory.request) is RequestUnreadable


def oversized(message: Descriptor, size: int) -> Iterator[bytes]:
    """Yield messages of about so many bytes, each all of one text or list of the type."""
    for field in message.fields:
        if field.is_repeated:  # empty entries, as many as find room
            yield bytes([field.number << 3 | 2, 0]) * (size // 2)
        elif field.type == field.TYPE_STRING:
            yield from (encoded(field.number, text) for text in (b"a" * size, b"\xc3\xa9" * size))
        elif field.message_type is not None:
            for inner in oversized(field.message_type, size):
                yield encoded(field.number, inner)


def encoded(number: int, value: bytes) -> bytes:
    varint: bytes = encoder._VarintBytes(len(value))  # type: ignore[attr-defined]
    return bytes([number << 3 | 2]) + varint + value


@pytest.mark.parametrize("size", ["just too large", "1 MB"])
@pytest.mark.parametrize("house", DESCRIPTORS)
async def test_no_field_of_any_request_is_parsed_beyond_what_its_method_can_need(
    transport: Transport, house: str, size: str
) -> None:
    handlers = Inventory(b"")
    contract, limits = DESCRIPTORS[house], max_bytes(house)
    server, port = open_server(Endpoint("127.0.0.1:0", transport))
    register(handlers, contract, server, limits)
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for method in contract.methods:
            limit = limits.get(method.name, DEFAULT_MAX_BYTES)
            send: Any = channel.unary_unary(f"/{contract.full_name}/{method.name}")
            for raw in oversized(method.input_type, 1_000_000 if size == "1 MB" else limit + 2):
                handlers.request = None
                refused = len(raw) > MAX_REQUEST_BYTES
                code = await outcome(send(raw, timeout=TIMEOUT_S))
                assert code is (grpc.StatusCode.RESOURCE_EXHAUSTED if refused else CODE_OK)
                assert type(handlers.request) is (NOTHING if refused else RequestTooLarge)
    await server.stop(None)


async def test_an_answer_that_is_no_message_is_a_fault_of_ours(transport: Transport) -> None:
    async with served(transport, Inventory(5)) as stub:
        with pytest.raises(aio.AioRpcError) as failed:
            await stub.GetProduct(pb.GetProductRequest(), timeout=TIMEOUT_S)
    assert failed.value.code() in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}


async def test_a_contract_with_a_stream_is_refused() -> None:
    contract: Any = health_pb2.DESCRIPTOR.services_by_name["Health"]
    with pytest.raises(TypeError, match=r"grpc\.health\.v1\.Health\.Watch is a stream"):
        register(health.aio.HealthServicer(), contract, aio.server())


async def test_a_servicer_without_a_method_of_the_contract_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no method CreateProduct"):
        register(object(), SERVICE, aio.server())
