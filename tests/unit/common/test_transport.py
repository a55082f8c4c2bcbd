import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health, health_pb2_grpc

from services.common.rpc.channel import open_channel
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
from tests.patience import until
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

    server, port = open_server(Endpoint("127.0.0.1:0", transport))
    handlers: Any = {"Look": grpc.unary_unary_rpc_method_handler(look)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Test", handlers),))
    server.add_registered_method_handlers("Test", handlers)
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_unary("/Test/Look")
        await method(b"", metadata=sent, timeout=10)
    await server.stop(None)
    assert seen == [list(sent), list(sent)]
    assert at_hand == [True] or transport is GRPCIO


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
