"""Instances that come and go behind a name, as the channels between services see them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio

from services.common.rpc import renewal
from services.common.rpc.channel import open_channel
from services.common.rpc.renewal import Renewed, renewed
from tests.unit.common.names import (
    HERE,
    THERE,
    called_until,
    check,
    instance,
    names_of,
    stub_on,
)

SOON_S, LATER_S = 0.3, 600.0  # no call may take longer


@asynccontextmanager
async def renewed_every(seconds: float, target: str) -> AsyncIterator[Renewed[Any]]:
    async with renewed(stub_on, lambda: open_channel(target), seconds) as stubs:
        yield stubs


async def test_an_instance_that_joins_is_called_beside_the_others() -> None:
    async with (
        names_of(HERE) as names,
        instance(HERE) as (here, port),
        instance(THERE, port) as (there, _),
        renewed_every(SOON_S, names.target(port)) as stubs,
    ):
        await check(stubs.stub)
        assert (here.calls, there.calls) == (1, 0)
        names.addresses.append(THERE)
        await called_until(lambda: there.calls > 0, lambda: check(stubs.stub))
        before = here.calls
        await called_until(lambda: here.calls > before, lambda: check(stubs.stub))


async def test_an_instance_whose_address_is_gone_is_called_no_more() -> None:
    async with (
        names_of(HERE, THERE) as names,
        instance(HERE) as (here, port),
        instance(THERE, port) as (there, _),
        renewed_every(LATER_S, names.target(port)) as stubs,
    ):
        await called_until(lambda: min(here.calls, there.calls) > 0, lambda: check(stubs.stub))
        names.addresses.remove(HERE)
        await stubs.renew()
        before = here.calls
        for _ in range(10):
            await check(stubs.stub)
        assert here.calls == before


async def test_a_call_under_way_is_not_disturbed() -> None:
    async with (
        names_of(HERE) as names,
        instance(HERE) as (here, port),
        renewed_every(LATER_S, names.target(port)) as stubs,
    ):
        here.door.clear()
        first = stubs.stub
        under_way = asyncio.ensure_future(check(first))
        await called_until(lambda: here.calls > 0, lambda: asyncio.sleep(0))
        await stubs.renew()
        assert stubs.stub is not first
        here.door.set()
        await under_way


async def test_the_connections_are_kept() -> None:
    async with (
        names_of(HERE) as names,
        instance(HERE) as (here, port),
        renewed_every(LATER_S, names.target(port)) as stubs,
    ):
        for _ in range(5):
            await check(stubs.stub)
            await stubs.renew()
        assert len(here.connections) == 1


async def test_while_the_name_leads_nowhere_the_present_channel_serves_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        names_of(HERE) as names,
        instance(HERE) as (_, port),
        renewed_every(LATER_S, names.target(port)) as stubs,
    ):
        await check(stubs.stub)
        monkeypatch.setattr(renewal, "_CONNECT_S", 0.2)
        names.addresses.clear()
        await stubs.renew()
        await stubs.renew()
        await check(stubs.stub)


async def test_at_the_end_every_channel_is_closed() -> None:
    opened: list[aio.Channel] = []
    async with names_of(HERE) as names, instance(HERE) as (_, port):

        @asynccontextmanager
        async def noted() -> AsyncIterator[aio.Channel]:
            async with open_channel(names.target(port)) as channel:
                opened.append(channel)
                yield channel

        async with renewed(stub_on, noted, LATER_S) as stubs:
            await stubs.renew()
            await stubs.renew()
        assert len(opened) == 3
        for channel in opened:
            assert channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN
