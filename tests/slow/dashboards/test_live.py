"""Every panel and every alert, asked of a real Prometheus that scrapes a shop at work."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import grpc
import pytest

from deploy.grafana.source.__main__ import DASHBOARDS
from deploy.grafana.source.model import Query
from services.stack.services import SERVICES
from tests.e2e.support.running_shop import RunningShop, opened_shop
from tests.slow.dashboards.support.alerts import ALERTS, ALERTS_FILE, Alert
from tests.slow.dashboards.support.custom import keep_busy
from tests.slow.dashboards.support.prometheus import Prometheus, Series, running_prometheus
from tests.slow.dashboards.support.promql import Matcher, Selector, selectors

pytestmark = pytest.mark.timeout(300)
PATIENCE_S = 120.0
POLL_S = 0.25
VARIABLES = {"$__rate_interval": "10s", "$job": ".+", "$method": ".+", "$cache": ".+"}

PANEL_QUERIES = [
    pytest.param(query, id=f"{dashboard.title}/{panel.title}/{number}")
    for dashboard in DASHBOARDS
    for panel in dashboard.panels()
    for number, query in enumerate(panel.queries)
]
CHOICES = {
    f"{variable.metric}/{variable.label}": variable
    for dashboard in DASHBOARDS
    for variable in dashboard.variables
}


@dataclass(frozen=True, slots=True)
class Watched:
    """A shop at work, and the Prometheus that watches it."""

    prometheus: Prometheus
    custom: "asyncio.Task[None]"
    known: set[str] = field(default_factory=set)

    async def drawn(self, expression: str, enough: Callable[[list[Series]], bool]) -> list[Series]:
        """What a panel draws, as soon as it is enough."""
        found = list[Series]()

        async def drawn_enough() -> bool:
            found[:] = await self.prometheus.drawn(expression)
            return enough(found)

        await self._before_long(drawn_enough)
        return found

    async def knows(self, selector: str) -> bool:
        """Whether a selector fits anything that the shop says of itself, before long."""
        if selector not in self.known and await self._before_long(
            lambda: self.prometheus.knows(selector)
        ):
            self.known.add(selector)
        return selector in self.known

    async def _before_long(self, holds: Callable[[], Awaitable[bool]]) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while not await holds():
                    if self.custom.done():
                        await self.custom  # raises what ended it
                    await asyncio.sleep(POLL_S)
                return True
        return False


@pytest.fixture(scope="module")
async def watched(
    mongo_uri: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Watched]:
    async with opened_shop(
        tmp_path_factory.mktemp("shop"),
        mongo_uri=mongo_uri,
        redis_url=redis_url,
        ledger_uri=mongo_uri,
        SHOP_CONCURRENCY_LIMIT="adaptive",  # there is a panel for it
        SHOP_RECONCILE_INTERVAL_S="0.5",
        SHOP_CACHE_CONTROL="any",
    ) as shop:
        await shop.restart("inventory", SHOP_WORKERS="2")
        targets = {service: _metrics_port(shop, service) for service in SERVICES}
        folder = tmp_path_factory.mktemp("prometheus")
        async with running_prometheus(folder, targets, ALERTS_FILE) as prometheus:
            custom = asyncio.create_task(keep_busy(shop))
            yield Watched(prometheus, custom)
            custom.cancel()
            await asyncio.gather(custom, return_exceptions=True)


def _metrics_port(shop: RunningShop, service: str) -> int:
    ports = shop.settings.ports
    return {
        "user": ports.user_metrics,
        "inventory": ports.inventory_metrics,
        "order": ports.order_metrics,
    }[service]


def substituted(expression: str) -> str:
    """An expression as Grafana sends it when everything is chosen."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


@pytest.mark.parametrize("query", PANEL_QUERIES)
async def test_a_panel_has_something_to_draw(watched: Watched, query: Query) -> None:
    named = set(re.findall(r"{{(\w+)}}", query.legend))

    def told(series: Series) -> bool:
        return series.finite and named <= series.labels.keys()

    found = await watched.drawn(
        substituted(query.expression), lambda found: any(told(series) for series in found)
    )
    assert any(told(series) for series in found), found
    assert not any("worker" in series.labels for series in found)


@pytest.mark.parametrize("query", PANEL_QUERIES)
async def test_a_panel_asks_for_nothing_that_the_services_do_not_say(
    watched: Watched, query: Query
) -> None:
    await everything_exists(watched, substituted(query.expression))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
async def test_an_alert_asks_for_nothing_that_the_services_do_not_say(
    watched: Watched, alert: Alert
) -> None:
    await everything_exists(watched, alert.expression)


@pytest.mark.parametrize("name", CHOICES)
async def test_a_variable_has_values_to_choose_from(watched: Watched, name: str) -> None:
    variable = CHOICES[name]
    (selector,) = selectors(substituted(variable.metric))
    assert await watched.knows(f'{selector.metric}{{{variable.label}!=""}}')


async def test_every_alert_is_evaluated_without_an_error(watched: Watched) -> None:
    health = dict[str, str]()
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while not health or "unknown" in health.values():
                await asyncio.sleep(POLL_S)
                health = await watched.prometheus.rules()
    assert health == {alert.name: "ok" for alert in ALERTS}


async def everything_exists(watched: Watched, expression: str) -> None:
    for selector in selectors(expression):
        assert await watched.knows(selector.metric), f"no service says {selector.metric}"
        for matcher in selector.matchers:
            await label_exists(watched, selector, matcher)


async def label_exists(watched: Watched, selector: Selector, matcher: Matcher) -> None:
    metric, label = selector.metric, matcher.label
    assert await watched.knows(f'{metric}{{{label}!=""}}'), f"{metric} has no label {label}"
    for value in matcher.values:
        if label == "grpc_code":  # of which most never come
            assert value in grpc.StatusCode.__members__
        else:
            assert await watched.knows(f'{metric}{{{label}="{value}"}}'), f"{metric}: no {value}"
