"""Locust's web interface, with the shop's users and a chart of where answers come from."""

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

import pytest

from services.stack.ports import claimed_ports
from tests.slow.loadtests.support.runs import at, started
from tests.slow.loadtests.support.slow_shop import slow_shop

pytestmark = pytest.mark.timeout(300)


async def fetched(url: str, form: dict[str, str] | None = None) -> str:
    def fetch() -> str:
        data = urlencode(form).encode() if form else None
        with urllib.request.urlopen(url, data, timeout=20) as answer:  # noqa: S310
            return str(answer.read().decode())

    return await asyncio.to_thread(fetch)


async def front_page(address: str) -> str:
    async with asyncio.timeout(120):
        while True:
            try:
                return await fetched(f"{address}/")
            except (urllib.error.URLError, ConnectionError):
                await asyncio.sleep(0.2)


async def shares(address: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await fetched(f"{address}/shares.json"))
    return found


async def eventually_recent(address: str) -> dict[str, Any]:
    async with asyncio.timeout(120):
        while True:
            found = await shares(address)
            if found["recent"] and "GetProduct" in found["methods"]:
                return found
            await asyncio.sleep(0.3)


@pytest.mark.parametrize("rate", ["", "50"], ids=["closed", "open"])
async def test_the_interface_has_the_users_and_a_chart_whose_figures_grow(rate: str) -> None:
    with claimed_ports(1) as (port,):
        async with (
            slow_shop(0.001) as shop,
            started("ui", *at(shop.target), "--web-port", str(port), "--customers", "1"),
        ):
            address = f"http://127.0.0.1:{port}"
            page = await front_page(address)
            assert "BrowseUser" in page
            assert 'src="shares"' in page
            assert "<svg" in await fetched(f"{address}/shares")
            assert (await shares(address))["total"]["calls"] == 0
            await fetched(
                f"{address}/swarm",
                {"user_count": "2", "spawn_rate": "2", "user_classes": "BrowseUser", "rate": rate},
            )
            found = await eventually_recent(address)
    assert found["total"]["redis"] == 1.0
    assert found["methods"]["GetProduct"]["calls"] > 0
    assert found["recent"][0]["near"] == 0.0
