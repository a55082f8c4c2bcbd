"""Channels between services: what they try again, and how soon they give up or come back."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from shop.inventory.v1 import inventory_pb2 as pb
from shop.inventory.v1 import inventory_pb2_grpc as pb_grpc

from bench import aio_client
from loadtests.channel import Channels
from loadtests.server_metrics import read_figures
from services.common.auth.tokens import ServiceIdentity
from services.common.call import Call, enter_call
from services.common.errors import DeadlineExceeded
from services.common.rpc import transport
from services.common.rpc.channel import (
    _OPTIONS,
    PeerCaller,
    PeerUnavailable,
    open_channel,
    service_config,
)
from services.common.rpc.channel_options import authority
from services.common.rpc.methods import Context
from services.common.rpc.probe import Server, asked, verdict
from services.common.rpc.registration import register
from services.common.rpc.status import internal_status
from services.common.rpc.transport import Endpoint, Transport, open_server
from services.common.telemetry.peers import PeerMetrics
from services.stack import services as stack_services
from services.stack.ports import claimed_ports
from tests.patience import PATIENCE_S
from tests.unit.common.fakes import new_signing_key
from tests.unit.common.names import (
    HERE,
    THERE,
    called_until,
    check,
    instance,
    names_of,
    stub_on,
)

SERVICE = "shop.inventory.v1.InventoryService"
IDEMPOTENT = ["CommitReservation"]
IDENTITY = ServiceIdentity("order", new_signing_key())
COMMIT, UPDATE = pb.CommitReservationRequest(), pb.UpdateProductRequest()


class Flaky:
    """Refuses the first calls with a code, and answers then."""

    def __init__(self, code: grpc.StatusCode, refusals: int, details: tuple[Any, ...] = ()) -> None:
        self._code = code
        self._details = details
        self._refusals = refusals
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(pb_grpc.InventoryServiceServicer, name)

    async def CommitReservation(
        self, request: pb.CommitReservationRequest, context: Context
    ) -> pb.CommitReservationResponse:
        await self._refuse(context)
        return pb.CommitReservationResponse()

    async def UpdateProduct(
        self, request: pb.UpdateProductRequest, context: Context
    ) -> pb.UpdateProductResponse:
        await self._refuse(context)
        return pb.UpdateProductResponse()

    async def ReleaseReservation(
        self, request: pb.ReleaseReservationRequest, context: Context
    ) -> pb.ReleaseReservationResponse:
        await asyncio.sleep(30)
        return pb.ReleaseReservationResponse()

    async def _refuse(self, context: Context) -> None:
        self.calls += 1
        if self.calls <= self._refusals:
            await context.abort(self._code, trailing_metadata=self._details)


@asynccontextmanager
async def serving(servicer: object, port: int = 0) -> AsyncIterator[int]:
    server = aio.server(options=[("grpc.so_reuseport", 0)])
    pb_grpc.add_InventoryServiceServicer_to_server(servicer, server)  # type: ignore[arg-type]
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(None)


@asynccontextmanager
async def calling(port: int, *, is_up: bool = True) -> AsyncIterator[Any]:
    """A stub, which is connected if there is somebody to call."""
    async with open_channel(f"127.0.0.1:{port}", SERVICE, IDEMPOTENT) as channel:
        if is_up:
            await asyncio.wait_for(channel.channel_ready(), PATIENCE_S)
        yield pb_grpc.InventoryServiceStub(channel)


def peer(timeout_s: float = 30.0) -> PeerCaller:
    return PeerCaller(SERVICE, IDENTITY, timeout_s)


def counted(metrics: PeerMetrics) -> dict[tuple[str, str], float]:
    """How many calls ended, by method and code."""
    registry = CollectorRegistry()
    registry.register(metrics)
    assert f'grpc_service="{SERVICE}"' in generate_latest(registry).decode()
    return {
        (sample.labels["grpc_method"], sample.labels["grpc_code"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "grpc_client_handled_total"
    }


# ---- what is tried again


def test_a_channel_goes_round_and_retries_what_is_named_and_not_for_ever() -> None:
    config = json.loads(service_config(SERVICE, ["A", "B"]))
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    (methods,) = config["methodConfig"]
    assert methods["name"] == [
        {"service": SERVICE, "method": "A"},
        {"service": SERVICE, "method": "B"},
    ]
    assert methods["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "CANCELLED"]
    assert 2 <= methods["retryPolicy"]["maxAttempts"] <= 5
    assert config["retryThrottling"].keys() == {"maxTokens", "tokenRatio"}


def test_without_methods_nothing_is_retried() -> None:
    (methods,) = json.loads(service_config(SERVICE, []))["methodConfig"]
    assert methods["name"] == []


async def test_an_idempotent_call_that_was_not_taken_is_made_again() -> None:
    flaky = Flaky(grpc.StatusCode.UNAVAILABLE, refusals=1)
    async with serving(flaky) as port, calling(port) as stub:
        await peer().call(stub.CommitReservation, COMMIT)
    assert flaky.calls == 2


async def test_no_other_call_is_made_again() -> None:
    flaky = Flaky(grpc.StatusCode.UNAVAILABLE, refusals=1)
    async with serving(flaky) as port, calling(port) as stub:
        with pytest.raises(PeerUnavailable):
            await peer().call(stub.UpdateProduct, UPDATE)
    assert flaky.calls == 1


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    ],
)
async def test_what_was_refused_for_another_reason_is_not_made_again(
    code: grpc.StatusCode,
) -> None:
    flaky = Flaky(code, refusals=1)
    async with serving(flaky) as port, calling(port) as stub:
        with pytest.raises((PeerUnavailable, aio.AioRpcError)):
            await peer().call(stub.CommitReservation, COMMIT)
    assert flaky.calls == 1


async def test_while_many_calls_fail_few_are_made_again() -> None:
    flaky = Flaky(grpc.StatusCode.UNAVAILABLE, refusals=10_000)
    async with serving(flaky) as port, calling(port) as stub:
        calls = [peer().call(stub.CommitReservation, COMMIT) for _ in range(100)]
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(end) for end in ends} == {PeerUnavailable}
    assert flaky.calls < 250  # of 500 without throttling


# ---- peers that are down


@pytest.mark.parametrize("method", ["CommitReservation", "UpdateProduct"])
async def test_a_peer_that_is_down_fails_a_call_fast(method: str) -> None:
    request = COMMIT if method in IDEMPOTENT else UPDATE

    with claimed_ports(1) as (port,):
        async with calling(port, is_up=False) as stub:
            with pytest.raises(PeerUnavailable) as down:
                await peer(timeout_s=PATIENCE_S).call(getattr(stub, method), request)
    # DEADLINE_EXCEEDED: it was waited for.
    assert down.value.metadata == {"peer": SERVICE, "peer_reason": "UNAVAILABLE"}


async def test_a_peer_that_does_not_trust_this_services_key_is_as_good_as_down() -> None:
    distrustful = Flaky(grpc.StatusCode.UNAUTHENTICATED, refusals=1)
    async with serving(distrustful) as port, calling(port) as stub:
        with pytest.raises(PeerUnavailable) as refused:
            await peer().call(stub.CommitReservation, COMMIT)
    assert refused.value.metadata["peer_reason"] == "UNAUTHENTICATED"
    assert distrustful.calls == 1


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN])
async def test_a_peer_that_fails_without_telling_why_is_as_good_as_down(
    code: grpc.StatusCode,
) -> None:
    async with serving(Flaky(code, refusals=1)) as port, calling(port) as stub:
        with pytest.raises(PeerUnavailable) as failed:
            await peer().call(stub.UpdateProduct, UPDATE)
    assert failed.value.metadata["peer_reason"] == code.name


async def test_a_peer_that_tells_of_a_fault_of_its_own_is_heard() -> None:
    told = internal_status("shop.inventory.v1", "r-1")
    flaky = Flaky(told.code, refusals=1, details=told.trailing_metadata)
    async with serving(flaky) as port, calling(port) as stub:
        with pytest.raises(aio.AioRpcError):
            await peer().call(stub.UpdateProduct, UPDATE)


# ---- which server, and by which way


@pytest.mark.parametrize("transport", list(Transport))
async def test_a_target_of_several_addresses_is_called(transport: Transport) -> None:
    reachable = Flaky(grpc.StatusCode.OK, 0)
    server, port = open_server(Endpoint("127.0.0.1:0", transport))
    register(reachable, pb.DESCRIPTOR.services_by_name["InventoryService"], server)
    await server.start()
    target = f"ipv4:127.0.0.1:{port},127.0.0.1:{port}"
    async with open_channel(target, SERVICE) as channel:
        await peer().call(pb_grpc.InventoryServiceStub(channel).UpdateProduct, UPDATE)
    await server.stop(None)
    assert reachable.calls == 1


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("ipv4:10.0.0.7:50052,10.0.0.8:50052", "10.0.0.7:50052"),
        ("ipv6:[::1]:50052,[::2]:50052", "[::1]:50052"),
        ("inventory:50052", None),
        ("dns:///inventory:50052", None),
    ],
)
def test_of_several_addresses_the_first_is_named(target: str, name: str | None) -> None:
    assert dict(authority(target)).get("grpc.default_authority") == name


def health_of(channel: Any) -> Any:
    return health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]


async def _over_a_channel_of_services(target: str) -> None:
    async with open_channel(target) as channel:
        await health_of(channel)(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)


async def _over_the_check(target: str) -> None:
    def check() -> str:
        with asked(Server("127.0.0.1", int(target.rpartition(":")[2]), ""), PATIENCE_S) as call:
            return verdict(call)

    assert await asyncio.to_thread(check) == "SERVING"


async def _over_the_stack(target: str) -> None:
    nobody: Any = None
    await stack_services._serving(nobody, "inventory", target)


async def _over_the_load_generator(target: str) -> None:
    channels = Channels()
    request = health_pb2.HealthCheckRequest()
    await asyncio.to_thread(health_of(channels.to(target)), request, timeout=PATIENCE_S)
    channels.close()


async def _to_the_figures(_target: str) -> None:
    server, thread = start_http_server(0, "127.0.0.1", CollectorRegistry())
    url = f"http://127.0.0.1:{server.server_port}/metrics"
    assert (await asyncio.to_thread(read_figures, url)).requests == 0
    server.shutdown()
    server.server_close()
    thread.join()


async def _over_the_benchmarks(target: str) -> None:
    assert await aio_client._cpu_s(target, "/grpc.health.v1.Health/Check", b"", 1) >= 0


@pytest.mark.parametrize(
    "call",
    [
        _over_a_channel_of_services,
        _over_the_check,
        _over_the_stack,
        _over_the_load_generator,
        _to_the_figures,
        _over_the_benchmarks,
    ],
)
async def test_no_call_of_the_shop_takes_an_http_proxy(
    call: Callable[[str], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_services, "_SERVING_WITHIN_S", 2.0)
    monkeypatch.setattr(aio_client, "_LIMIT_S", 2.0)
    with claimed_ports(1) as (nobody,):
        for name in ("http_proxy", "https_proxy", "grpc_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{nobody}")
        async with instance(HERE) as (here, port):
            await here.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
            await call(f"{HERE}:{port}")


async def test_a_peer_that_does_not_answer_costs_no_more_than_the_time_for_it() -> None:
    async with serving(Flaky(grpc.StatusCode.OK, 0)) as port, calling(port) as stub:
        request = pb.ReleaseReservationRequest()
        with pytest.raises(PeerUnavailable) as slow:
            await peer(timeout_s=0.2).call(stub.ReleaseReservation, request)
    assert slow.value.metadata["peer_reason"] == "DEADLINE_EXCEEDED"


def test_however_long_a_peer_was_down_it_is_looked_for_every_2_seconds() -> None:
    backoff_ms = [ms for name, ms in _OPTIONS if name.endswith("_reconnect_backoff_ms")]
    assert len(backoff_ms) == 3
    assert max(backoff_ms) <= 2_000


def test_a_connection_is_looked_after_no_more_often_than_servers_allow() -> None:
    ours, servers = dict(_OPTIONS), dict(transport._OPTIONS)
    allowed_ms = servers["grpc.http2.min_ping_interval_without_data_ms"]
    assert allowed_ms <= ours["grpc.keepalive_time_ms"] <= 60_000
    assert ours["grpc.keepalive_timeout_ms"] <= 20_000


async def test_a_peer_that_comes_back_is_found_again() -> None:
    steady = Flaky(grpc.StatusCode.OK, 0)

    with claimed_ports(1) as (port,):
        async with calling(port, is_up=False) as stub:
            async with serving(steady, port):
                await _answered(stub)
            for _ in range(5):
                with pytest.raises(PeerUnavailable):
                    await peer().call(stub.UpdateProduct, UPDATE)
            async with serving(steady, port):
                await _answered(stub)


async def _answered(stub: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await peer().call(stub.UpdateProduct, UPDATE)
            except PeerUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


async def test_a_peer_whose_addresses_have_all_changed_is_found_again_soon() -> None:
    async with names_of(HERE) as names, AsyncExitStack() as past:
        _, port = await past.enter_async_context(instance(HERE))
        async with instance(THERE, port) as (there, _), open_channel(names.target(port)) as channel:
            stub = stub_on(channel)
            await check(stub)
            names.addresses[:] = [THERE]
            await past.aclose()
            await called_until(lambda: there.calls > 0, lambda: tried(stub))


async def test_an_instance_that_says_it_does_not_serve_is_not_called() -> None:
    health = "grpc.health.v1.Health"
    async with (
        names_of(HERE, THERE) as names,
        instance(HERE) as (here, port),
        instance(THERE, port) as (there, _),
        open_channel(names.target(port), health) as channel,
    ):
        await here.set(health, health_pb2.HealthCheckResponse.NOT_SERVING)
        await there.set(health, health_pb2.HealthCheckResponse.SERVING)
        for _ in range(10):
            await check(stub_on(channel))
        assert (here.calls, there.calls) == (0, 10)
        await here.set(health, health_pb2.HealthCheckResponse.SERVING)
        await called_until(lambda: here.calls > 0, lambda: check(stub_on(channel)))


async def tried(stub: Any) -> None:
    with suppress(aio.AioRpcError):
        await check(stub)


# ---- figures


async def test_calls_are_counted_by_method_and_code() -> None:
    metrics = PeerMetrics()
    caller = PeerCaller(SERVICE, IDENTITY, 30.0, metrics)
    hasty = PeerCaller(SERVICE, IDENTITY, 0.2, metrics)
    flaky = Flaky(grpc.StatusCode.NOT_FOUND, refusals=1)
    async with serving(flaky) as port, calling(port) as stub:
        with pytest.raises(aio.AioRpcError):
            await caller.call(stub.UpdateProduct, UPDATE)
        await caller.call(stub.UpdateProduct, UPDATE)
        await caller.call(stub.CommitReservation, COMMIT)
        with pytest.raises(PeerUnavailable):
            await hasty.call(stub.ReleaseReservation, pb.ReleaseReservationRequest())
    assert counted(metrics) == {
        ("UpdateProduct", "NOT_FOUND"): 1,
        ("UpdateProduct", "OK"): 1,
        ("CommitReservation", "OK"): 1,
        ("ReleaseReservation", "DEADLINE_EXCEEDED"): 1,
    }


async def test_a_call_that_its_caller_cancels_is_counted_as_cancelled() -> None:
    metrics = PeerMetrics()
    caller = PeerCaller(SERVICE, IDENTITY, 30.0, metrics)
    async with serving(Flaky(grpc.StatusCode.OK, 0)) as port, calling(port) as stub:
        call = asyncio.create_task(
            caller.call(stub.ReleaseReservation, pb.ReleaseReservationRequest())
        )
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert counted(metrics) == {("ReleaseReservation", "CANCELLED"): 1}


async def test_without_time_left_no_call_is_made() -> None:
    flaky = Flaky(grpc.StatusCode.OK, 0)

    async def late(stub: Any) -> None:
        enter_call(Call("r", deadline=time.monotonic() + 0.01))
        with pytest.raises(DeadlineExceeded):
            await peer().call(stub.CommitReservation, COMMIT)

    async with serving(flaky) as port, calling(port) as stub:
        await asyncio.create_task(late(stub))
    assert flaky.calls == 0
