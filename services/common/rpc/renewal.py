"""Stubs that notice when more instances of a service are there to be called.

gRPC asks for the addresses of a name again only when it loses a connection. Where a name got more
addresses while all connections are well, the instances behind them would never be called.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final, Generic, TypeVar

from grpc import aio

from services.common.background import repeating

RENEW_S: Final = 30.0
_CONNECT_S: Final = 5.0

Stub = TypeVar("Stub")
OpenChannel = Callable[[], AbstractAsyncContextManager[aio.Channel]]


class Renewed(Generic[Stub]):
    """A stub on the channel that was opened last. ``stub`` is to be taken anew for each call."""

    __slots__ = ("_before", "_make", "_open", "_present", "stub")

    def __init__(
        self,
        make: Callable[[aio.Channel], Stub],
        open_channel: OpenChannel,
        first: tuple[aio.Channel, AsyncExitStack],
    ) -> None:
        self._make = make
        self._open = open_channel
        channel, self._present = first
        self._before = AsyncExitStack()
        self.stub = make(channel)

    async def renew(self) -> None:
        """Go over to another channel if one connects; else stay with the present one.

        gRPC shares connections between channels, so that only what is new is connected to. The
        channel before stays open for one more round, for the calls that are on it.
        """
        async with AsyncExitStack() as life:
            channel = await life.enter_async_context(self._open())
            if await _connects(channel):
                await self._before.aclose()
                self._before, self._present = self._present, life.pop_all()
                self.stub = self._make(channel)

    async def close(self) -> None:
        """Close what is open."""
        await self._before.aclose()
        await self._present.aclose()


@asynccontextmanager
async def renewed(
    make: Callable[[aio.Channel], Stub], open_channel: OpenChannel, every_s: float
) -> AsyncIterator[Renewed[Stub]]:
    """Keep a stub whose channel is opened anew every ``every_s`` seconds.

    So long after it got its address an instance is called, and one that lost it is forgotten. A
    call must not take longer than ``every_s``. The service need not be up yet.
    """
    async with AsyncExitStack() as life:
        channel = await life.enter_async_context(open_channel())
        stubs = Renewed(make, open_channel, (channel, life.pop_all()))

    async def renew_later() -> None:
        await asyncio.sleep(every_s)
        await stubs.renew()

    try:
        async with repeating("renew channel", renew_later, 0):
            yield stubs
    finally:
        await stubs.close()


async def _connects(channel: aio.Channel) -> bool:
    try:
        async with asyncio.timeout(_CONNECT_S):
            await channel.channel_ready()
    except TimeoutError:
        return False
    return True
