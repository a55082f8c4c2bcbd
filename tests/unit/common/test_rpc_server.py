"""What a server offers beside its service, on either transport."""

import asyncio
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from shop.inventory.v1 import inventory_pb2 as pb
from shop.inventory.v1 import inventory_pb2_grpc as pb_grpc
from structlog.testing import capture_logs

from services.common import entrypoint
from services.common.addresses import address
from services.common.auth.tokens import TokenVerifier
from services.common.entrypoint import use_short_temporary_folder
from services.common.logs import LogFormat, LogLevel, configure_logs
from services.common.rpc.access import PUBLIC
from services.common.rpc.chain import Chain, ChainOptions, LimitKind
from services.common.rpc.compose import compose
from services.common.rpc.health import HealthReporter
from services.common.rpc.probe import Server, asked, verdict
from services.common.rpc.server import RpcServer, ServerOptions
from services.common.rpc.service import Service
from services.common.rpc.transport import NATIVE_INSTALLED, Endpoint, Transport, open_server
from services.common.settings import UnusableSettingsError
from tests.slow.load.support import frames
from tests.unit.common.fakes import FakeContext

UNREAD = 20
WATCH = "/grpc.health.v1.Health/Watch"
SERVICE = pb.DESCRIPTOR.services_by_name["InventoryService"]


class Unserved:
    """An inventory whose methods nobody calls."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pb_grpc.InventoryServiceServicer, name)


async def started(transport: Transport, *, reflects: bool) -> tuple[aio.Server, str]:
    endpoint = Endpoint("127.0.0.1:0", transport)
    service = Service(SERVICE, Unserved(), {}, {})
    health = HealthReporter(SERVICE.full_name, {}, {})
    server, port = open_server(endpoint)
    options = ChainOptions(LimitKind.OFF, max_in_flight=1, log_every_call=False)
    chain = Chain(service, TokenVerifier({}), lambda _error: None, options)
    RpcServer(service, chain, health, ServerOptions(endpoint, reflects, 1.0))._add_services(server)
    await health.refresh()
    await server.start()
    return server, f"127.0.0.1:{port}"


def reflected(target: str) -> set[str]:
    with grpc.insecure_channel(target) as channel:
        return set(ProtoReflectionDescriptorDatabase(channel).get_services())


@pytest.fixture(params=["native", "grpcio"] if NATIVE_INSTALLED else ["grpcio"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return Transport(request.param)


async def test_health_is_answered(transport: Transport) -> None:
    server, target = await started(transport, reflects=False)
    async with aio.insecure_channel(target) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
        for name in ("", SERVICE.full_name):
            answer = await check(health_pb2.HealthCheckRequest(service=name), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
    await server.stop(None)


@pytest.mark.parametrize("name", ["Check", "Watch"])
@pytest.mark.parametrize(
    "request_", [b"\xff", b"\x0a\xff\x07" + b"x" * 1_023], ids=["odd", "large"]
)
async def test_health_refuses_what_is_no_request_of_its_contract_and_what_is_too_large(
    transport: Transport, name: str, request_: bytes
) -> None:
    server, target = await started(transport, reflects=False)
    async with aio.insecure_channel(target) as channel:
        method: Any = channel.unary_stream(f"/grpc.health.v1.Health/{name}")
        with pytest.raises(aio.AioRpcError) as refused:
            await anext(aiter(method(request_, timeout=20)))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(refused.value.details()).startswith("request: ")
    await server.stop(None)


@pytest.mark.parametrize(
    ("host", "called_at"), [("::", "::1"), ("::", "127.0.0.1"), ("localhost", "localhost")]
)
async def test_a_server_is_called_at_any_kind_of_address(
    transport: Transport, host: str, called_at: str
) -> None:
    server, port = open_server(Endpoint(address(host, 0), transport))
    health = HealthReporter(SERVICE.full_name, {}, {})
    health.servicer.serve_on(server)
    await health.refresh()
    await server.start()
    assert await asyncio.to_thread(Server(called_at, port, "").listens)
    with asked(Server(called_at, port, ""), 20.0) as call:
        assert await asyncio.to_thread(verdict, call) == "SERVING"
    await server.stop(None)


async def test_reflection_lists_what_is_served(transport: Transport) -> None:
    server, target = await started(transport, reflects=True)
    assert await asyncio.to_thread(reflected, target) == {
        SERVICE.full_name,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    await server.stop(None)


async def test_reflection_works_where_the_temporary_folder_has_a_long_path(
    transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", None)
    use_short_temporary_folder()
    server, target = await started(transport, reflects=True)
    assert SERVICE.full_name in await asyncio.to_thread(reflected, target)
    await server.stop(None)


def test_a_temporary_folder_with_too_long_a_path_is_refused_where_there_is_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 90)))
    monkeypatch.setattr(entrypoint, "_SHORT_TMPDIR", str(tmp_path / "none"))
    with pytest.raises(UnusableSettingsError, match=r"^TMPDIR: must have at most 70 bytes"):
        use_short_temporary_folder()


async def test_reflection_answers_clients_that_ask_for_v1(transport: Transport) -> None:
    server, target = await started(transport, reflects=True)
    async with aio.insecure_channel(target) as channel:
        ask: Any = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE.full_name)
        async for answer in ask(iter([request]), timeout=10):
            assert answer.file_descriptor_response.file_descriptor_proto
            break
        else:
            pytest.fail("it is not answered")
    await server.stop(None)


async def test_reflection_may_be_left_out(transport: Transport) -> None:
    server, target = await started(transport, reflects=False)
    with pytest.raises(grpc.RpcError) as missing:
        await asyncio.to_thread(reflected, target)
    assert isinstance(missing.value, grpc.Call)
    assert missing.value.code() is grpc.StatusCode.UNIMPLEMENTED
    await server.stop(None)


async def test_once_told_to_drain_a_chain_refuses_new_calls_and_finishes_the_others() -> None:
    service = Service(SERVICE, Unserved(), {"GetProduct": PUBLIC}, {})
    options = ChainOptions(LimitKind.OFF, max_in_flight=1, log_every_call=False)
    chain = Chain(service, TokenVerifier({}), lambda _error: None, options)
    door = asyncio.Event()

    class Waiting(Unserved):
        async def GetProduct(self, request: Any, context: Any) -> Any:
            await door.wait()
            return request

    composed = compose(Waiting(), SERVICE, chain.interceptors)
    first = asyncio.create_task(composed.GetProduct("first", FakeContext().context))
    await asyncio.sleep(0)
    assert chain.in_flight == 1
    chain.refuse_new_calls()
    refused = FakeContext()
    with pytest.raises(aio.AbortError):
        await asyncio.create_task(composed.GetProduct("second", refused.context))
    assert refused.aborted_with is grpc.StatusCode.UNAVAILABLE
    door.set()
    assert await first == "first"
    assert chain.in_flight == 0


class Waiting(Unserved):
    """An inventory that waits before it answers."""

    def __init__(self) -> None:
        self.door = asyncio.Event()

    async def GetProduct(self, request: Any, context: Any) -> Any:
        await self.door.wait()
        return pb.GetProductResponse()


def put_together(
    transport: Transport, inventory: Unserved, drain_timeout_s: float = 60.0
) -> RpcServer:
    endpoint = Endpoint("127.0.0.1:0", transport)
    service = Service(SERVICE, inventory, {"GetProduct": PUBLIC}, {"GetProduct": 60.0})
    chained = ChainOptions(LimitKind.OFF, max_in_flight=1, log_every_call=False)
    chain = Chain(service, TokenVerifier({}), lambda _error: None, chained)
    health = HealthReporter(SERVICE.full_name, {}, {})
    options = ServerOptions(endpoint, reflection=False, drain_timeout_s=drain_timeout_s)
    return RpcServer(service, chain, health, options)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20.0):
        while not await holds():  # noqa: ASYNC110 (it tells nobody when)
            await asyncio.sleep(0.01)


async def test_a_server_that_drains_takes_no_connection_and_finishes_what_it_has(
    transport: Transport,
) -> None:
    inventory = Waiting()
    rpc = put_together(transport, inventory)
    server, port = open_server(rpc.options.endpoint)
    rpc._add_services(server)
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = pb_grpc.InventoryServiceStub(channel)
        call = stub.GetProduct(pb.GetProductRequest(), timeout=60)

        async def begun() -> bool:
            return rpc.chain.in_flight == 1

        async def refuses() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return True
            writer.close()
            return False

        await until(begun)
        draining = asyncio.create_task(rpc._drain(server, transport, port))
        await until(refuses)
        assert not call.done()
        inventory.door.set()
        assert await call == pb.GetProductResponse()
        async with asyncio.timeout(20.0):
            await draining


async def test_what_has_arrived_as_a_grpcio_server_stops_is_refused_as_it_closes_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.common.rpc.interceptors.drain._LONGEST_S", 60.0)
    monkeypatch.setattr("services.common.rpc.server._TAKING_S", 0.5)
    rpc = put_together(Transport.GRPCIO, Unserved())
    composed = compose(Unserved(), SERVICE, rpc.chain.interceptors)
    refused = FakeContext()

    class Server:
        kept_as_it_closes = False

        async def stop(self, _grace: float) -> None:
            self.kept_as_it_closes = not call.done()
            await asyncio.wait([call])

    server = Server()
    draining = asyncio.create_task(rpc._drain(server, Transport.GRPCIO, 0))  # type: ignore[arg-type]
    for _ in range(5):  # it is a while before it closes
        await asyncio.sleep(0)
    call = asyncio.create_task(composed.GetProduct("late", refused.context))
    async with asyncio.timeout(20.0):
        await draining
    assert server.kept_as_it_closes
    with pytest.raises(aio.AbortError):
        await call
    assert refused.aborted_with is grpc.StatusCode.UNAVAILABLE


async def test_watchers_that_do_not_read_delay_neither_the_health_of_others_nor_the_end(
    transport: Transport,
) -> None:
    rpc = put_together(transport, Unserved(), drain_timeout_s=1.0)
    server, port = open_server(rpc.options.endpoint)
    rpc._add_services(server)
    rpc.health.begin()
    await server.start()
    calls = (frames.whole_call(WATCH, stream, b"") for stream in range(1, 2 * UNREAD, 2))
    with frames.unread(port, b"".join(calls)):
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            watch: Any = health_pb2_grpc.HealthStub(channel).Watch(  # type: ignore[attr-defined]
                health_pb2.HealthCheckRequest(), timeout=60
            )
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING

            async def all_watch() -> bool:
                return rpc.health.servicer.watchers == UNREAD + 1

            await until(all_watch)
            for _ in range(10):  # more than any buffer takes
                rpc.health.servicer.set("", health_pb2.HealthCheckResponse.SERVING)
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
                rpc.health.stop_serving()
                rpc.health.servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            with capture_logs() as logs:
                await rpc._drain(server, transport, port)
            assert not logs  # it need not be left to the end of the process
            assert await watch.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_watcher_that_reads_is_told_to_go_and_holds_up_no_end(
    transport: Transport,
) -> None:
    rpc = put_together(transport, Unserved(), drain_timeout_s=60.0)
    server, port = open_server(rpc.options.endpoint)
    rpc._add_services(server)
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        watch: Any = health_pb2_grpc.HealthStub(channel).Watch(  # type: ignore[attr-defined]
            health_pb2.HealthCheckRequest(), timeout=60
        )
        await watch.read()
        async with asyncio.timeout(20.0):
            await rpc._drain(server, transport, port)
        assert await watch.code() is grpc.StatusCode.UNAVAILABLE


def ends_and_hangs() -> None:
    """Serve in this process, told to stop at once, and hang when that is done."""
    configure_logs("test", LogLevel.INFO, LogFormat.JSON)
    rpc = put_together(Transport.GRPCIO, Unserved(), drain_timeout_s=0.1)

    async def serve() -> None:
        asyncio.get_running_loop().call_later(0.1, signal.raise_signal, signal.SIGTERM)
        await rpc.serve()
        threading.Event().wait(60.0)

    asyncio.run(serve())


def test_a_process_that_hangs_when_it_is_told_to_stop_ends_by_force() -> None:
    program = f"""
from services.common.rpc import server
from {__name__} import ends_and_hangs
server._LAST_RESORT_S = 0.5
ends_and_hangs()
"""
    run = subprocess.run(  # noqa: S603 (this program)
        [sys.executable, "-c", program], check=False, capture_output=True, timeout=50
    )
    assert run.returncode == 1
    assert b"ended by force" in run.stderr
