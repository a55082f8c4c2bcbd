"""The client of the measurements, against servers on both transports and such as break rules."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from shop.inventory.v1 import inventory_pb2 as pb
from shop.inventory.v1 import inventory_pb2_grpc as pb_grpc

from bench import h2
from bench.h2 import CONNECTIONS, BrokenRunError, Script, make_calls
from bench.hpack import Metadata
from services.common.rpc.transport import NATIVE_INSTALLED, Endpoint, Transport, open_server
from tests.slow.load.support.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    RST_STREAM,
    SETTINGS,
    frame,
    literal,
)

METHOD = "/shop.inventory.v1.InventoryService/GetProduct"
TRANSPORTS = [Transport.NATIVE, Transport.GRPCIO] if NATIVE_INSTALLED else [Transport.GRPCIO]
GOAWAY = 0x7
MISSING, EMPTY, STUCK = "missing", "empty", "stuck"


class Inventory(pb_grpc.InventoryServiceServicer):
    """Answers with what it was asked for, unless that says how to fail."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.metadata: list[dict[str, Any]] = []
        self.x_cache = ""

    async def GetProduct(self, request: pb.GetProductRequest, context: Any) -> Any:
        wanted = request.product_id
        self.asked.append(wanted)
        self.metadata.append(dict(context.invocation_metadata()))
        if wanted == MISSING:
            await context.abort(grpc.StatusCode.NOT_FOUND, "grpc-status 0 is not what this is")
        if wanted == STUCK:
            await asyncio.sleep(60)
        if self.x_cache:
            context.set_trailing_metadata((("x-cache", self.x_cache),))
        if wanted == EMPTY:
            return pb.GetProductResponse()
        return pb.GetProductResponse(product=pb.Product(product_id=wanted, description=wanted))


@pytest.fixture
def inventory() -> Inventory:
    return Inventory()  # type: ignore[abstract]


@pytest.fixture(params=TRANSPORTS)
async def address(request: pytest.FixtureRequest, inventory: Inventory) -> AsyncIterator[str]:
    server, port = open_server(Endpoint("127.0.0.1:0", request.param))
    pb_grpc.add_InventoryServiceServicer_to_server(inventory, server)
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


def script(address: str, *products: str, metadata: tuple[Metadata, ...] = ((),)) -> Script:
    messages = [pb.GetProductRequest(product_id=name).SerializeToString() for name in products]
    return Script(address, METHOD, messages, metadata)


async def test_every_call_brings_its_answer(address: str, inventory: Inventory) -> None:
    outcome = await make_calls(script(address, "a", "b"), 501, 16)
    assert outcome["sources"] == {"none": 501}
    assert outcome["seconds"] > 0
    assert sorted(inventory.asked) == ["a"] * 251 + ["b"] * 250


async def test_a_run_goes_on_where_the_last_one_ended(address: str, inventory: Inventory) -> None:
    calls = script(address, "a", "b", "c")
    await make_calls(calls, 2, 1)
    await make_calls(calls, 2, 1)
    assert sorted(inventory.asked) == ["a", "a", "b", "c"]


async def test_metadata_goes_with_the_messages_in_turn(address: str, inventory: Inventory) -> None:
    token = "Bearer " + "t" * 300
    metadata = ((("authorization", token), ("cache-control", "no-near")), (("x-request-id", "b"),))
    await make_calls(script(address, "a", "b", metadata=metadata), 4, 1)
    seen = dict(zip(inventory.asked, inventory.metadata, strict=True))
    assert seen["a"]["authorization"] == token
    assert seen["a"]["cache-control"] == "no-near"
    assert seen["b"]["x-request-id"] == "b"
    assert "authorization" not in seen["b"]


@pytest.mark.parametrize("said", ["near; age_ms=1207", "redis; age_ms=5", "mongo", "bypass"])
async def test_answers_are_counted_by_where_they_came_from(
    address: str, inventory: Inventory, said: str
) -> None:
    inventory.x_cache = said
    outcome = await make_calls(script(address, "a"), 100, 4)
    assert outcome["sources"] == {said.partition(";")[0]: 100}


async def test_a_single_call_that_fails_is_noticed(address: str) -> None:
    calls = script(address, *["a"] * 99, MISSING)
    with pytest.raises(BrokenRunError, match=r"\{'status 5': 1\} of 100"):
        await make_calls(calls, 100, 4)


async def test_a_single_answer_without_content_is_noticed(address: str) -> None:
    calls = script(address, *["a"] * 99, EMPTY)
    with pytest.raises(BrokenRunError, match=r"\{'an answer without content': 1\} of 100"):
        await make_calls(calls, 100, 4)


async def test_calls_that_do_not_end_are_noticed(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(h2, "_LEAST_LIMIT_S", 0.3)
    with pytest.raises(BrokenRunError, match=r"only \d of 10 calls ended in time"):
        await make_calls(script(address, *["a"] * 9, STUCK), 10, 4)


async def test_more_is_sent_and_received_than_a_window_holds(address: str) -> None:
    outcome = await make_calls(script(address, "p" * 10_000), 200, 16)
    assert outcome["sources"] == {"none": 200}


async def test_nobody_at_the_address_is_noticed() -> None:
    with pytest.raises(BrokenRunError, match="cannot be reached"):
        await make_calls(script("127.0.0.1:1", "a"), 10, 1)


def test_messages_beyond_one_frame_are_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        script("127.0.0.1:1", "p" * 20_000)


@asynccontextmanager
async def answering(answer: bytes, settings: bytes = b"") -> AsyncIterator[str]:
    """Run a server that greets with settings and gives each connection the same answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(SETTINGS, 0, 0, settings))
        await reader.readuntil(METHOD.encode())
        writer.write(answer)
        if not answer:
            writer.close()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


OK = literal("grpc-status", "0")
MESSAGE = frame(HEADERS, END_HEADERS, 1, b"\x88") + frame(DATA, 0, 1, b"\0\0\0\0\1x")
TRAILERS = END_HEADERS | END_STREAM


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (MESSAGE + frame(RST_STREAM, 0, 1, struct.pack(">I", 7)), "reset with code 7"),
        (MESSAGE + frame(DATA, END_STREAM, 1), "an answer without a status"),
        (MESSAGE + frame(HEADERS, TRAILERS, 1, literal("a", "b")), "status unreadable or missing"),
        (MESSAGE + frame(HEADERS, TRAILERS, 1, b"\xbe"), "in no table"),
        (MESSAGE + frame(HEADERS, END_STREAM, 1, OK), "in a form"),
        (frame(HEADERS, TRAILERS, 1, OK), "an answer without content"),
        (frame(HEADERS, TRAILERS, 3, OK), "was not open"),
        (frame(DATA, 0, 3, b"x"), "was not open"),
        (frame(GOAWAY, 0, 0, struct.pack(">II", 0, 11)), "GOAWAY with code 11"),
        (b"", "closed a connection"),
    ],
)
async def test_an_answer_that_is_none_breaks_the_run(answer: bytes, complaint: str) -> None:
    async with answering(answer) as address:
        with pytest.raises(BrokenRunError, match=complaint):
            await make_calls(script(address, "a"), CONNECTIONS, 1)


async def test_an_answer_by_hand_is_one() -> None:
    async with answering(MESSAGE + frame(HEADERS, TRAILERS, 1, OK)) as address:
        outcome = await make_calls(script(address, "a"), CONNECTIONS, 1)
    assert outcome["sources"] == {"none": CONNECTIONS}


@pytest.mark.parametrize(
    ("setting", "value", "complaint"), [(3, 2, "too few calls"), (4, 5, "too small")]
)
async def test_a_server_with_too_little_room_is_noticed(
    setting: int, value: int, complaint: str
) -> None:
    async with answering(b"", struct.pack(">HI", setting, value)) as address:
        with pytest.raises(BrokenRunError, match=complaint):
            await make_calls(script(address, "a"), 100, 4)
