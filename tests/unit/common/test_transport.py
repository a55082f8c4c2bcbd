import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health, health_pb2_grpc

from services.common.rpc import grpcio
from services.common.rpc import transport as transport_module
from services.common.rpc.channel import open_channel
from services.common.rpc.grpcio import GrpcioServer
from services.common.rpc.transport import (
    NATIVE_INSTALLED,
    CannotServeError,
    Endpoint,
    Transport,
    chosen_transport,
    client_network,
    open_server,
    raw_metadata,
)
from services.common.tls import TlsFiles
from tests.e2e.support.refusals import outcome
from tests.patience import until
from tests.slow.load.support import frames
from tests.slow.load.support.frames import Connection
from tests.unit.common.names import HERE, THERE, called_until, check, instance, names_of, stub_on

TLS = TlsFiles(Path("/cert.pem"), Path("/key.pem"))
AUTO, NATIVE, GRPCIO = Transport.AUTO, Transport.NATIVE, Transport.GRPCIO
PLAINTEXT = None
A_MINUTE_S = 60.0
INSTALLED, MISSING = True, False


@pytest.mark.parametrize(
    ("wanted", "tls", "installed", "chosen"),
    [
        (AUTO, PLAINTEXT, INSTALLED, NATIVE),
        (AUTO, PLAINTEXT, MISSING, GRPCIO),
        (AUTO, TLS, INSTALLED, GRPCIO),
        (AUTO, TLS, MISSING, GRPCIO),
        (NATIVE, PLAINTEXT, INSTALLED, NATIVE),
        (GRPCIO, PLAINTEXT, INSTALLED, GRPCIO),
        (GRPCIO, PLAINTEXT, MISSING, GRPCIO),
        (GRPCIO, TLS, INSTALLED, GRPCIO),
        (GRPCIO, TLS, MISSING, GRPCIO),
    ],
)
def test_what_serves(
    wanted: Transport,
    tls: TlsFiles | None,
    installed: bool,  # noqa: FBT001
    chosen: Transport,
) -> None:
    endpoint = Endpoint("127.0.0.1:0", wanted, tls)
    assert chosen_transport(endpoint, native_installed=installed) is chosen


@pytest.mark.parametrize(
    ("tls", "installed", "complaint"),
    [
        (TLS, INSTALLED, "SHOP_TRANSPORT=native serves no TLS"),
        (TLS, MISSING, "SHOP_TRANSPORT=native serves no TLS"),
        (PLAINTEXT, MISSING, "SHOP_TRANSPORT=native needs the package pygrpc-native"),
    ],
)
def test_native_where_it_cannot_be_is_refused(
    tls: TlsFiles | None,
    installed: bool,  # noqa: FBT001
    complaint: str,
) -> None:
    with pytest.raises(CannotServeError, match=complaint):
        chosen_transport(Endpoint("127.0.0.1:0", NATIVE, tls), native_installed=installed)


def test_where_connections_end_by_age_grpcio_serves_and_native_is_refused() -> None:
    ageing = Endpoint("127.0.0.1:0", AUTO, max_connection_age_s=A_MINUTE_S)
    assert chosen_transport(ageing, native_installed=INSTALLED) is GRPCIO
    with pytest.raises(CannotServeError, match="native knows no SHOP_MAX_CONNECTION_AGE_S"):
        chosen_transport(replace(ageing, transport=NATIVE), native_installed=INSTALLED)


async def test_a_client_of_a_name_finds_who_joined_once_its_connection_is_old() -> None:
    async with (
        names_of(HERE) as names,
        instance(HERE, max_connection_age_s=0.5) as (here, port),
        instance(THERE, port) as (there, _),
        open_channel(names.target(port)) as channel,
    ):
        stub = stub_on(channel)
        await check(stub)
        assert (here.calls, there.calls) == (1, 0)
        names.addresses.append(THERE)
        await called_until(lambda: there.calls > 0, lambda: check(stub))


def transports() -> list[Transport]:
    return [NATIVE, GRPCIO] if NATIVE_INSTALLED else [GRPCIO]


@pytest.mark.parametrize("transport", transports())
async def test_a_taken_port_is_refused(transport: Transport) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotServeError, match=f"cannot listen on {address}"):
            open_server(Endpoint(address, transport))


@pytest.mark.parametrize("transport", transports())
async def test_a_port_is_shared_only_with_those_that_share_it(transport: Transport) -> None:
    alone, port = open_server(Endpoint("127.0.0.1:0", transport))
    await alone.start()
    with pytest.raises(CannotServeError):
        open_server(Endpoint(f"127.0.0.1:{port}", transport))
    await alone.stop(None)
    shared, port = open_server(Endpoint("127.0.0.1:0", transport, shared=True))
    await shared.start()
    another, same = open_server(Endpoint(f"127.0.0.1:{port}", transport, shared=True))
    await another.start()
    assert same == port
    await shared.stop(None)
    await another.stop(None)


LOOK = "/Test/Look"


@asynccontextmanager
async def looked_at(opened: tuple[aio.Server, int], look: Any) -> AsyncIterator[int]:
    """Serve one method and return the port."""
    server, port = opened
    handlers: Any = {"Look": grpc.unary_unary_rpc_method_handler(look)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Test", handlers),))
    server.add_registered_method_handlers("Test", handlers)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@pytest.mark.parametrize("transport", transports())
async def test_the_raw_metadata_is_what_the_client_sent(transport: Transport) -> None:
    sent = (("x-one", "1"), ("x-two", "2"), ("x-two", "3"), ("raw-bin", b"\0\xff"))
    seen: list[list[tuple[str, Any]]] = []
    at_hand: list[bool] = []

    async def look(_request: Any, context: Any) -> bytes:
        at_hand.append(raw_metadata(context) is raw_metadata(context))
        seen.extend(
            [tuple(pair) for pair in metadata if pair[0] != "user-agent"]
            for metadata in (raw_metadata(context), context.invocation_metadata())
        )
        return b""

    async with (
        looked_at(open_server(Endpoint("127.0.0.1:0", transport)), look) as port,
        aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        method: Any = channel.unary_unary(LOOK)
        await method(b"", metadata=sent, timeout=10)
    assert seen == [list(sent), list(sent)]
    assert at_hand == [True] or transport is GRPCIO


async def answer(_request: Any, _context: Any) -> bytes:
    return b"x" * 20_000


@pytest.fixture(params=transports())
async def port(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[int]:
    """Serve with all times of the transport a hundredth of what they are."""
    for module, name in ((transport_module, "_OPTIONS"), (grpcio, "OPTIONS")):
        options = getattr(module, name)
        quicker = [(key, value // 100 if key.endswith("_ms") else value) for key, value in options]
        monkeypatch.setattr(module, name, tuple(quicker))
    endpoint = Endpoint("127.0.0.1:0", request.param)
    async with looked_at(open_server(endpoint), answer) as port:
        yield port


grpcio_alone = pytest.mark.parametrize("port", [GRPCIO], indirect=True)
"""pygrpc-native offers nothing: docs/request-path.md says what protects it."""


@pytest.mark.skipif(not NATIVE_INSTALLED, reason="grpcio counts their bytes")
@pytest.mark.parametrize("port", [NATIVE], indirect=True)
async def test_a_client_that_reads_nothing_keeps_a_bounded_number_of_answers(port: int) -> None:
    calls = [frames.whole_call(LOOK, 2 * number + 1) for number in range(150)]
    async with frames.connected(port, frames.hello(window=0)) as connection:
        await until(lambda: bool(connection.got(frames.SETTINGS)))
        connection.send(*calls)
        await until(lambda: len(connection.got(frames.RST_STREAM)) >= 50)
        await until(lambda: len(connection.got(frames.HEADERS)) == 100)


@grpcio_alone
async def test_a_connection_with_answers_that_nobody_reads_ends(port: int) -> None:
    async with frames.connected(port, frames.hello(window=0)) as connection:
        connection.send(*[frames.whole_call(LOOK, 2 * number + 1) for number in range(9)])
        await until(lambda: connection.closed)
        assert len(connection.got(frames.RST_STREAM)) == 9


@grpcio_alone
async def test_answers_that_nobody_reads_are_kept_up_to_a_size(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpcio, "MAX_UNREAD_BYTES_OF_ONE", 5 * 20_000)
    monkeypatch.setattr(grpcio, "MAX_UNREAD_BYTES", 7 * 20_000)
    calls = [frames.whole_call(LOOK, 2 * number + 1) for number in range(9)]
    async with frames.connected(port, frames.hello(window=0), *calls) as one:
        await until(lambda: len(one.got(frames.HEADERS)) == 9)
        assert told(one).count(b"too many answers wait to be read") == 4
        async with frames.connected(port, frames.hello(window=0), *calls) as another:
            await until(lambda: len(another.got(frames.HEADERS)) == 9)
            assert told(another).count(b"too many answers wait to be read") == 7
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        look: Any = channel.unary_unary(LOOK)
        async with asyncio.timeout(10):  # the server notices that both are gone
            while await outcome(look(b"", timeout=10)) is not grpc.StatusCode.OK:
                pass
        for _ in range(20):
            assert len(await look(b"", timeout=10)) == 20_000


@grpcio_alone
@pytest.mark.parametrize(
    "said",
    [b"", frames.PREFACE[:10], frames.PREFACE, frames.hello()],
    ids=["nothing", "half a preface", "a preface", "settings"],
)
async def test_a_connection_that_says_no_more_ends(port: int, said: bytes) -> None:
    async with frames.connected(port, said) as connection:
        await until(lambda: connection.closed)


@pytest.mark.parametrize("said", [frames.hello(), frames.hello() + frames.whole_call(LOOK, 1)])
async def test_a_connection_to_nobody_ends(port: int, said: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)  # and acknowledge nothing
    async with asyncio.timeout(10):
        while await reader.read(65_536):
            pass
    writer.close()


async def test_pings_without_calls_are_allowed_as_often_as_our_channels_are_told(port: int) -> None:
    async with frames.connected(port, frames.hello()) as connection:
        for _ in range(4):
            await asyncio.sleep(0.11)  # a hundredth of 11 s
            connection.send(frames.frame(frames.PING, 0, 0, b"12345678"))
        await until(
            lambda: connection.closed or connection.got(frames.PING).count(b"12345678") == 4
        )
        assert b"too_many_pings" not in b"".join(connection.got(frames.GOAWAY))


@asynccontextmanager
async def impatient() -> AsyncIterator[int]:
    """Serve with grpcio, which gives requests a moment to arrive."""
    server: Any = GrpcioServer((), arrives_within_s=0.1)
    port = server.add_insecure_port("127.0.0.1:0")
    async with looked_at((server, port), answer) as listening:
        yield listening


def begun(said: bytes, *, ends: bool) -> bytes:
    headers = frames.frame(frames.HEADERS, frames.END_HEADERS, 1, frames.grpc_headers(LOOK))
    return headers + frames.frame(frames.DATA, frames.END_STREAM if ends else 0, 1, said)


def told(connection: Connection) -> bytes:
    return b"".join(connection.got(frames.HEADERS))


@pytest.mark.parametrize("said", [b"", b"\0", frames.message(b"half", 9)])
async def test_a_request_that_does_not_arrive_ends_its_call(said: bytes) -> None:
    async with (
        impatient() as port,
        frames.connected(port, frames.hello(), begun(said, ends=False)) as connection,
    ):
        await until(lambda: b"did not arrive within 0.1 s" in told(connection))
        await until(lambda: bool(connection.got(frames.RST_STREAM)))


async def test_a_call_that_ends_without_a_request_is_answered() -> None:
    async with (
        impatient() as port,
        frames.connected(port, frames.hello(), begun(b"", ends=True)) as connection,
    ):
        await until(lambda: b"the call has no request" in told(connection))


@grpcio_alone
async def test_a_compressed_request_is_refused_and_others_are_served(port: int) -> None:
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        look: Any = channel.unary_unary(LOOK)
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            answered = look(b"x" * 1_000, compression=compression, timeout=10)
            assert await outcome(answered) is grpc.StatusCode.UNIMPLEMENTED
        assert await outcome(look(b"x" * 1_000, timeout=10)) is grpc.StatusCode.OK


A_COMPRESSED_CALL = """
import asyncio
from services.common.rpc.transport import Endpoint, Transport, open_server
import grpc
from grpc import aio

async def main():
    server, port = open_server(Endpoint("127.0.0.1:0", Transport.GRPCIO))
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            await channel.unary_unary("/Test/Look")(b"x" * 999, compression=grpc.Compression.Gzip)
        except aio.AioRpcError as error:
            print(error.details())
    await server.stop(None)

asyncio.run(main())
"""


def test_calls_that_the_core_of_grpc_refuses_leave_no_line_on_standard_error() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-c", A_COMPRESSED_CALL],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("Compression algorithm 'gzip' is disabled.\n", "")


@pytest.mark.parametrize("transport", transports())
@pytest.mark.parametrize(
    ("bound", "called", "network"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("[::]", "127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]", "::/64"),
    ],
)
async def test_the_network_of_a_client_is_an_address_or_the_first_half_of_one(
    transport: Transport, bound: str, called: str, network: str
) -> None:
    found: list[str] = []

    async def look(_request: Any, context: Any) -> bytes:
        found.append(client_network(context))
        return b""

    server, port = open_server(Endpoint(f"{bound}:0", transport))
    handlers: Any = {"Look": grpc.unary_unary_rpc_method_handler(look)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Test", handlers),))
    server.add_registered_method_handlers("Test", handlers)
    await server.start()
    async with aio.insecure_channel(f"{called}:{port}") as channel:
        method: Any = channel.unary_unary("/Test/Look")
        await method(b"", timeout=10)
    await server.stop(None)
    assert found == [network]


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:443", "2001:db8:1:2::/64"),
        ("ipv6:[fe80::1%25eth0]:443", "fe80::/64"),
        ("ipv6:[::ffff:203.0.113.7]:443", "203.0.113.7"),
        ("unix:", ""),
        ("unix:/run/shop.sock", ""),
        ("", ""),
    ],
)
def test_the_network_is_read_from_however_the_peer_is_written(peer: str, network: str) -> None:
    assert client_network(SimpleNamespace(peer=lambda: peer)) == network  # type: ignore[arg-type]


@pytest.mark.skipif(not NATIVE_INSTALLED, reason="it is about pygrpc-native alone")
async def test_a_native_server_forgets_a_call_that_is_cancelled_before_it_begins() -> None:
    from pygrpc_native import EVENT_CALL, EVENT_CANCEL

    opened, _ = open_server(Endpoint("127.0.0.1:0", Transport.NATIVE))
    server: Any = opened
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    await server.start()
    arrival = (EVENT_CALL, 999, 0, b"", None, ((), "client", None))
    server._on_events([arrival, (EVENT_CANCEL, 999, 0, None, None, None)])
    assert 999 in server._calls
    await until(lambda: not server._calls)
    await server.stop(None)
