"""The calls of a client process, and the note that each leaves in the history."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from grpc import aio
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from shop.order.v1.order_pb2_grpc import OrderServiceStub
from shop.user.v1.user_pb2_grpc import UserServiceStub

from bench.prove_cache.history import OK, UNLABELLED, History, Read
from bench.prove_cache.plan import Plan
from bench.prove_cache.questions import Question, Ranks, Twin, WrongObjectError
from bench.prove_cache.twins import TWINS
from services.common.rpc.channel_options import DIRECT

WRONG_OBJECT: Final = "WRONG_OBJECT"
"""The code of a read that was answered with somebody else's value."""

_SOURCE_KEY: Final = "x-cache"
_PAUSE_AFTER_FAILURE_S: Final = 0.05
_CHANNEL_OPTIONS: Final = (
    *DIRECT,
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata of a caller with this token."""
    return (("authorization", f"Bearer {token}"),)


@dataclass(slots=True)
class Desk:
    """Reads, and writes the history."""

    plan: Plan
    twins: Sequence[Twin]
    history: History = field(default_factory=History)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, question: Question, twin: int, asked: str = "") -> bool:
        """Ask one twin and note what it shows; return whether it answered."""
        metadata = bearer(self.plan.admin)
        if asked:
            metadata += (("cache-control", asked),)
        ranks: Ranks = {}
        source, code = "", OK
        start = time.monotonic()
        call = question.ask(self.twins[twin], metadata)
        try:
            ranks = question.ranks(await call)
            source = source_of(await call.trailing_metadata())
        except WrongObjectError:
            code = WRONG_OBJECT
        except aio.AioRpcError as error:
            source = source_of(error.trailing_metadata())
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                code = error.code().name
        end = time.monotonic()
        by = f"{question.service}-{twin}"
        for target in question.targets:
            note = Read(target, ranks.get(target), start, end, source, asked, by, code)
            self.history.reads.append(note)
        if code != OK:
            await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
        return code == OK

    async def once(self, call: Awaitable[Any]) -> Any:
        """Return the answer to a write, None if it failed, which leaves its outcome open."""
        try:
            return await call
        except aio.AioRpcError as error:
            self.history.failed_writes[error.code().name] += 1
            await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
            return None


def source_of(metadata: Any) -> str:
    """Return where an answer says it is from, without how old it is."""
    for key, value in metadata or ():
        if key == _SOURCE_KEY:
            return str(value).partition(";")[0].strip()
    return UNLABELLED


@asynccontextmanager
async def opened_twins(addresses: Mapping[str, str]) -> AsyncIterator[Sequence[Twin]]:
    """Open a connection to every process and close it at the end."""
    async with AsyncExitStack() as opened:
        channels = {
            name: await opened.enter_async_context(
                aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
            )
            for name, address in addresses.items()
        }
        yield [
            Twin(
                UserServiceStub(channels[f"user-{index}"]),
                InventoryServiceStub(channels[f"inventory-{index}"]),
                OrderServiceStub(channels[f"order-{index}"]),
            )
            for index in range(TWINS)
        ]
