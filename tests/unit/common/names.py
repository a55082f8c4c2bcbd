"""A name server of the test's own, and servers on loopback addresses that its name resolves to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.common.rpc.transport import Endpoint, Transport, open_server

PATIENCE_S = 20.0  # gRPC left to itself asks for the names after 30 s at the soonest
HERE, THERE = "127.0.0.1", "127.0.0.2"


class Names(asyncio.DatagramProtocol):
    """Answers every question for a name with the present addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        assert self._transport is not None
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA | dns.flags.RA
        (question,) = query.question
        if question.rdtype == dns.rdatatype.A and self.addresses:
            answer.answer.append(dns.rrset.from_text(question.name, 0, "IN", "A", *self.addresses))
        self._transport.sendto(answer.to_wire(), addr)

    def target(self, port: int) -> str:
        """A gRPC target that is resolved here."""
        assert self._transport is not None
        _, own_port = self._transport.get_extra_info("sockname")
        return f"dns://127.0.0.1:{own_port}/peers.test:{port}"


@asynccontextmanager
async def names_of(*addresses: str) -> AsyncIterator[Names]:
    loop = asyncio.get_running_loop()
    transport, names = await loop.create_datagram_endpoint(
        lambda: Names(*addresses), local_addr=("127.0.0.1", 0)
    )
    try:
        yield names
    finally:
        transport.close()


class Counting(health.aio.HealthServicer):
    """Counts the calls and the connections they came by; holds them while ``door`` is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.connections: set[str] = set()
        self.door = asyncio.Event()
        self.door.set()

    async def Check(self, request: Any, context: Any) -> Any:
        self.calls += 1
        self.connections.add(context.peer())
        await self.door.wait()
        return await super().Check(request, context)


@asynccontextmanager
async def instance(
    address: str, port: int = 0, *, max_connection_age_s: float = 0.0
) -> AsyncIterator[tuple[Counting, int]]:
    """Serve at an address and yield what serves, and its port."""
    endpoint = Endpoint(
        f"{address}:{port}", Transport.GRPCIO, max_connection_age_s=max_connection_age_s
    )
    server, bound = open_server(endpoint)
    servicer = Counting()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await server.start()
    try:
        yield servicer, bound
    finally:
        await server.stop(None)


async def check(stub: Any) -> None:
    """Call whatever instance is next, once one is connected."""
    await stub.Check(health_pb2.HealthCheckRequest(), timeout=10, wait_for_ready=True)


def stub_on(channel: aio.Channel) -> Any:
    """A stub that can be checked."""
    return health_pb2_grpc.HealthStub(channel)


async def called_until(come_true: Callable[[], bool], call: Callable[[], Awaitable[None]]) -> None:
    """Call until it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not come_true():
            await call()
            await asyncio.sleep(0.02)
