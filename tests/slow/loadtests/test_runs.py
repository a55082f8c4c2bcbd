"""Runs of every scenario on a real shop: their figures add up."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtests.arms import ARMS
from loadtests.results import Report
from tests.e2e.support.running_shop import RunningShop, opened_shop
from tests.slow.loadtests.support.runs import Finished, due, ended, load, started

pytestmark = pytest.mark.timeout(400)

# A login is renewed a minute before it ends: here after two seconds.
BRIEF_S = "62"
SHORT = ("--duration", "3", "--warmup", "1", "--customers", "3")
PRODUCTS = 40
USERS = 6
# A machine that is busy shall not look like a shop that is.
UNHURRIED = {
    "SHOP_CONCURRENCY_LIMIT": "off",
    "SHOP_MONGO_TIMEOUT_MS": "5000",
    "SHOP_REDIS_TIMEOUT_MS": "2000",
}


@dataclass(frozen=True, slots=True)
class StockedShop:
    """A shop with products, ample stock of each."""

    shop: RunningShop

    @property
    def options(self) -> list[str]:
        """Where its services are."""
        settings = self.shop.settings
        ports = settings.ports
        metrics = {
            "user": ports.user_metrics,
            "inventory": ports.inventory_metrics,
            "order": ports.order_metrics,
        }
        return [
            *(f"--{service}={settings.target(service)}" for service in metrics),
            *(
                f"--{name}-metrics=http://127.0.0.1:{port}/metrics"
                for name, port in metrics.items()
            ),
        ]


@pytest.fixture(scope="module")
async def stocked(
    mongo_uri: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[StockedShop]:
    async with opened_shop(
        tmp_path_factory.mktemp("shop"),
        mongo_uri=mongo_uri,
        redis_url=redis_url,
        ledger_uri=mongo_uri,
        SHOP_ACCESS_TOKEN_LIFETIME_S=BRIEF_S,
    ) as shop:
        admin = await shop.admin()
        await asyncio.gather(*(admin.add_product(1_000_000) for _ in range(PRODUCTS)))
        yield StockedShop(shop)


@dataclass(frozen=True, slots=True)
class Reads:
    """Runs that only read, made at once."""

    by_two_processes: Finished
    of_orders: Finished
    refused: Finished


@pytest.fixture(scope="module")
async def reads(stocked: StockedShop, tmp_path_factory: pytest.TempPathFactory) -> Reads:
    path, options = tmp_path_factory.mktemp("reads"), stocked.options
    return Reads(
        *await asyncio.gather(
            load(
                path / "browse",
                *(*SHORT, *options, "--scenario", "browse"),
                *("--processes", "2", "--rate", "60", "--users", "8"),
            ),
            load(
                path / "orders",
                *(*SHORT, *options, "--scenario", "orders", "--users", "4", "--think", "0.02"),
                *("--shape", "ramp", "--duration", "4", "--channels", "shared"),
            ),
            load(path / "ab", *SHORT, *options),
        )
    )


def adds_up(report: Report) -> None:
    """Check that every way of counting the calls comes to the same."""
    for sample in report.samples:
        moments = [m for m in report.timeline if (m.method, m.arm) == (sample.method, sample.arm)]
        assert sum(moment.count for moment in moments) == sample.count
        assert sum(moment.errors for moment in moments) == sum(sample.errors.values())
        assert sample.rate_per_s == pytest.approx(sample.count / report.run.duration_s)
        latency = sample.latency_ms
        ascending = [latency.p50, latency.p90, latency.p99, latency.p99_9, latency.max]
        assert ascending == sorted(ascending)
        assert sample.curve == sorted(sample.curve)
    calls = sum(sample.count for sample in report.samples)
    (generator,) = (p for p in report.processes if p.name == "load generator")
    assert generator.requests == calls > 0
    assert generator.cpu_s > 0


def failures(report: Report) -> int:
    return sum(sum(sample.errors.values()) for sample in report.samples)


async def test_the_ab_on_a_shop_of_its_own_compares_arms_that_are_what_they_claim(
    tmp_path: Path,
) -> None:
    run = await load(
        tmp_path,
        *(*SHORT, "--rate", "90", "--users", str(USERS), "--fail-speedup-below", "1000"),
        **UNHURRIED,
    )
    assert run.code == 1  # nothing is that fast
    assert "NOT KEPT" in run.said
    report = run.report
    adds_up(report)
    assert failures(report) == 0
    for method in ("GetProduct", "ListUserOrders"):
        counts = []
        for arm in ARMS:
            sample = run.sample(method, arm.name)
            assert set(sample.sources) <= arm.sources
            assert sum(sample.sources.values()) == sample.count
            assert sample.server_ms is not None
            counts.append(sample.count)
        # Each question is asked once in each arm; only those at the edges may lack one, and each
        # user has one at either edge.
        assert max(counts) - min(counts) <= 2 * USERS
        assert min(counts) > 0
        assert run.sample(method, "near").sources["near"] > 0
    assert {(c.method, c.base, c.arm) for c in report.comparisons} == {
        (method, "mongo", arm)
        for method in ("GetProduct", "ListUserOrders")
        for arm in ("near", "redis")
    }
    assert all(c.low <= c.speedup <= c.high for c in report.comparisons)
    assert {p.name: p.cpu_s > 0 for p in report.processes} == dict.fromkeys(
        ("user", "inventory", "order", "mongodb", "redis", "load generator"), True
    )
    assert report.run.model == "open"
    assert report.run.settings["SHOP_CACHE_CONTROL"] == "any"
    assert not [name for name in report.run.settings if "PASSWORD" in name]
    for name in ("report.json", "report.html", "latency.svg"):
        assert str(tmp_path / name) in run.said


async def test_two_processes_are_one_load_and_their_counts_add_up(reads: Reads) -> None:
    run = reads.by_two_processes
    assert run.code == 0
    report = run.report
    adds_up(report)
    assert failures(report) == 0
    assert {s.method for s in report.samples} == {"GetProduct", "BatchGetProducts", "ListProducts"}
    assert report.schedule is not None
    # Twice as many would mean that each process made the whole load, half that one was not heard.
    assert 0.6 * 180 < due(report.schedule) < 1.5 * 180
    assert 4 < max(moment.users for moment in report.timeline) <= 8
    inventory = next(p for p in report.processes if p.name == "inventory")
    assert inventory.cpu_s > 0
    assert inventory.requests > 0


async def test_checkouts_leave_the_stock_right(stocked: StockedShop, tmp_path: Path) -> None:
    words = ("--scenario", "checkout", "--users", "3", "--think", "0.02")
    run = await load(tmp_path, *SHORT, *stocked.options, *words)
    assert run.code == 0
    report = run.report
    adds_up(report)
    assert run.sample("CreateOrder").count > 0
    assert report.stock is not None
    assert report.stock.pieces_sold > 0
    assert report.stock.wrong == []
    assert report.stock.open_orders == 0
    assert "The stock is right" in run.said


async def test_a_run_that_is_interrupted_reports_what_it_has_measured(
    stocked: StockedShop, tmp_path: Path
) -> None:
    words = [*SHORT[2:], "--duration", "600", *stocked.options, "--scenario", "mixed"]
    async with started(
        "run", "--out", str(tmp_path), *words, "--users", "3", "--think", "0.02"
    ) as process:
        assert process.stderr is not None
        async with asyncio.timeout(120):
            while b"measuring" not in await process.stderr.readline():
                pass
        await asyncio.sleep(2)
        process.send_signal(signal.SIGINT)
        run = await ended(process, tmp_path)
    assert run.code == 0
    report = run.report
    adds_up(report)
    assert failures(report) == 0
    assert 1 <= report.run.duration_s < 600
    assert any("cut short" in note for note in report.notes)
    assert "cut short" in run.said
    assert report.stock is not None
    assert report.stock.wrong == []


async def test_customers_look_at_their_orders_as_the_load_ramps_up(reads: Reads) -> None:
    run = reads.of_orders
    assert run.code == 0
    report = run.report
    adds_up(report)
    assert {s.method for s in report.samples} == {"ListUserOrders"}
    users = [moment.users for moment in report.timeline]
    assert users[0] < max(users) <= 4


async def test_an_ab_that_the_shop_does_not_heed_is_refused(reads: Reads) -> None:
    run = reads.refused
    assert run.code == 2
    assert "SHOP_CACHE_CONTROL=any" in run.complained
    assert not (run.folder / "report.json").exists()
