import asyncio

import pytest

from services.common.telemetry.dependencies import DependencyMetrics
from tests.unit.pages import page_of


async def answers() -> None:
    await asyncio.sleep(0.01)


async def fails() -> None:
    raise ConnectionError("nobody there")


async def test_a_dependency_that_was_not_probed_yet_is_not_told_of() -> None:
    metrics = DependencyMetrics()
    metrics.watched("mongodb", answers)
    assert page_of(metrics).samples == []


async def test_each_dependency_is_as_its_last_probe_found_it() -> None:
    metrics = DependencyMetrics()
    await metrics.watched("mongodb", answers)()
    with pytest.raises(ConnectionError):
        await metrics.watched("redis", fails)()
    page = page_of(metrics)
    assert page.by("dependency", "shop_dependency_up") == {"mongodb": 1, "redis": 0}
    await metrics.watched("redis", answers)()
    assert page_of(metrics).by("dependency", "shop_dependency_up") == {"mongodb": 1, "redis": 1}


async def test_the_time_of_the_last_probe_is_told_be_it_answered_or_not() -> None:
    metrics = DependencyMetrics()

    async def fails_late() -> None:
        await answers()
        raise ConnectionError("nobody there")

    await metrics.watched("mongodb", answers)()
    with pytest.raises(ConnectionError):
        await metrics.watched("redis", fails_late)()
    took_s = page_of(metrics).by("dependency", "shop_dependency_probe_seconds")
    assert all(0.005 < seconds < 60 for seconds in took_s.values())
    assert took_s.keys() == {"mongodb", "redis"}


async def test_a_probe_that_is_cancelled_as_the_service_stops_says_nothing() -> None:
    metrics = DependencyMetrics()
    await metrics.watched("mongodb", answers)()
    probe = asyncio.ensure_future(metrics.watched("mongodb", asyncio.Event().wait)())
    await asyncio.sleep(0)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert page_of(metrics).by("dependency", "shop_dependency_up") == {"mongodb": 1}
