"""What hostile clients send harms themselves: others are served meanwhile, and in time."""

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import grpc
import pytest
from grpc import aio
from shop.inventory.v1.inventory_pb2 import GetProductRequest

from services.common.rpc.transport import NATIVE_INSTALLED
from services.stack.ports import claimed_ports
from tests.e2e.support.ledger import eventually
from tests.slow.load.support import frames
from tests.slow.load.support.client import Outcome, drive
from tests.slow.load.support.instance import (
    BATCH,
    GET,
    UNHURRIED,
    Instance,
    Stores,
    inventory,
    is_alive,
    open_files,
)

IDLE_CONNECTIONS = 2_000
LEAST_CONNECTIONS = 500
AT_ONCE = 50  # fewer than may wait to be accepted
RESETS = 5_000
TOO_LARGE = 5 * 1024 * 1024
STEADY_TIMEOUT_S = 1.0
NEWCOMER_TIMEOUT_S = 30.0
ENDS_WITHIN_S = 60.0
LOG_BYTES = 200_000  # 50 lines a second for the time it takes
CHECK, WATCH = (f"/grpc.health.v1.Health/{name}" for name in ("Check", "Watch"))
SERVING = b"\x08\x01"
LEAST_SERVED = 10  # in a second, of two callers

pytestmark = pytest.mark.timeout(300)

Attack = Callable[[Instance], Awaitable[None]]


async def _exchange(service: Instance, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Send the parts and return what comes back within a moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    answer = b""
    try:
        with suppress(OSError, TimeoutError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause_s)
            async with asyncio.timeout(0.3):
                while more := await reader.read(65_536):
                    answer += more
    finally:
        writer.transport.abort()
    return answer


async def garbage(service: Instance) -> None:
    for size in (1, 24, 1_000, 100_000):
        await _exchange(service, os.urandom(size))
        await _exchange(service, frames.hello(), os.urandom(size))


async def http1(service: Instance) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert b"200 OK" not in await _exchange(service, request)


async def oversize(service: Instance) -> None:
    async with aio.insecure_channel(service.address) as channel:
        with pytest.raises(aio.AioRpcError) as refused:
            await _get(channel, b"\0" * TOO_LARGE, NEWCOMER_TIMEOUT_S)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def idle_connections(service: Instance) -> None:
    count = _allowed_connections()
    with ExitStack() as opened:
        for some in range(0, count, AT_ONCE):
            for _ in range(AT_ONCE):
                connection = opened.enter_context(socket.socket())
                connection.setblocking(False)  # noqa: FBT003
                with suppress(BlockingIOError):
                    connection.connect(("127.0.0.1", service.port))
            await _taken(service, some + AT_ONCE)


async def _taken(service: Instance, count: int) -> None:
    async def held() -> bool:
        return open_files(service.pid) >= count

    await eventually(held, ENDS_WITHIN_S, f"{count} connections are not taken")


def _allowed_connections() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(IDLE_CONNECTIONS, soft - len(os.listdir("/proc/self/fd")) - 100)  # noqa: PTH208
    assert count >= LEAST_CONNECTIONS
    return count


async def rapid_reset(service: Instance) -> None:
    for _ in range(4):
        flood = frames.begun_and_cancelled(GET, RESETS // 4)
        await _exchange(service, frames.hello(), flood)


async def half_open(service: Instance) -> None:
    with ExitStack() as opened:
        for said in (b"", frames.PREFACE[:10], frames.PREFACE, frames.hello()[:-4]):
            for _ in range(50):
                connection = opened.enter_context(
                    socket.create_connection(("127.0.0.1", service.port))
                )
                connection.sendall(said)
            await asyncio.sleep(0)
        await asyncio.sleep(0.5)


async def slow_headers(service: Instance) -> None:
    """Headers that come byte by byte, and never end."""
    begun = frames.hello() + frames.frame(frames.HEADERS, 0, 1, frames.grpc_headers(GET))
    drops = [frames.frame(frames.CONTINUATION, 0, 1, frames.literal("a", "b"))] * 20
    slowly = [bytes([byte]) for byte in begun[-20:]]
    await asyncio.gather(
        *(_exchange(service, begun, *drops, pause_s=0.02) for _ in range(10)),
        *(_exchange(service, begun[:-20], *slowly, pause_s=0.02) for _ in range(10)),
    )


async def endless_headers(service: Instance) -> None:
    """A header block of megabytes (the CONTINUATION flood)."""
    begun = frames.hello() + frames.frame(frames.HEADERS, 0, 1, frames.grpc_headers(GET))
    block = b"".join(frames.literal(f"x-{n}", "y" * 100) for n in range(100))
    more = frames.frame(frames.CONTINUATION, 0, 1, block)
    await _exchange(service, begun, *[more] * 400)


async def unread_health(service: Instance) -> None:
    """Watchers of known and unknown names that read nothing, on several connections."""
    with ExitStack() as opened:
        for number in range(4):
            names = (b"", b"mongodb", b"%d" % number)
            calls = (
                frames.whole_call(WATCH, 2 * n + 1, b"\x0a" + bytes([len(name)]) + name)
                for n, name in enumerate(names * 300)
            )
            opened.enter_context(frames.unread(service.port, b"".join(calls)))
        async with aio.insecure_channel(service.address) as channel:
            method: Any = channel.unary_unary(CHECK)
            assert await method(b"", timeout=STEADY_TIMEOUT_S) == SERVING


async def metadata_that_is_no_text(service: Instance) -> None:
    """Calls with many values that are not UTF-8: they are served, and the log stays small."""
    before = len(service.log)
    odd = [(b"a", b"\xff")] * 100
    request = GetProductRequest(product_id=service.stores.product_id).SerializeToString()
    for _ in range(5):
        answer = await _exchange(service, frames.hello() + frames.whole_call(GET, 1, request, *odd))
        assert service.stores.product_id.encode() in answer
    assert len(service.log) - before < LOG_BYTES


async def costly_requests(service: Instance) -> None:
    """Requests of a million bytes, with half a million entries to look at."""
    async with aio.insecure_channel(service.address) as channel:
        send: Any = channel.unary_unary(BATCH)
        for _ in range(20):
            with pytest.raises(aio.AioRpcError) as refused:
                await send(b"\x0a\0" * 500_000, timeout=NEWCOMER_TIMEOUT_S)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def _get(channel: aio.Channel, request: bytes, timeout_s: float) -> bytes:
    method: Any = channel.unary_unary(GET)
    answer: bytes = await method(request, timeout=timeout_s)
    return answer


@contextmanager
def many_files() -> Iterator[None]:
    """Allow this process and those that it starts as many descriptors as may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module", params=["native", "grpcio"] if NATIVE_INSTALLED else ["grpcio"])
async def service(
    request: pytest.FixtureRequest, stores: Stores, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Instance]:
    folder = tmp_path_factory.mktemp("hostile")
    with many_files(), claimed_ports(2) as (rpc, metrics):
        async with inventory(
            folder, stores, (rpc, metrics), str(request.param), **UNHURRIED
        ) as running:
            yield running


@pytest.mark.parametrize(
    "attack",
    [
        garbage,
        http1,
        oversize,
        idle_connections,
        rapid_reset,
        half_open,
        slow_headers,
        endless_headers,
        unread_health,
        metadata_that_is_no_text,
        costly_requests,
    ],
    ids=lambda attack: attack.__name__,
)
async def test_others_are_served_while_one_client_is_hostile(
    service: Instance, attack: Attack
) -> None:
    outcome = await steady_calls_during(attack, service)
    assert is_alive(service.pid)
    assert outcome.failures == {}, outcome.said
    assert len(outcome.accepted) > LEAST_SERVED
    async with aio.insecure_channel(service.address) as channel:  # and newcomers too
        request = GetProductRequest(product_id=service.stores.product_id).SerializeToString()
        assert await _get(channel, request, NEWCOMER_TIMEOUT_S)


async def steady_calls_during(attack: Attack, service: Instance) -> Outcome:
    """Let two others call in turns, attack when they have begun, and return how they fared."""
    before = await service.figure("grpc_server_handled_total", grpc_method="GetProduct")
    steady = service.reads(1.0, callers=2, timeout_s=STEADY_TIMEOUT_S, pause_s=0.005)
    load = asyncio.create_task(drive(steady))
    await eventually(
        lambda: service.has_served(int(before) + 1), ENDS_WITHIN_S, "nobody is served at all"
    )
    async with asyncio.timeout(ENDS_WITHIN_S):
        await attack(service)
    return await load
