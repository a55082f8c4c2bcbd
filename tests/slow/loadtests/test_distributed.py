"""A master here, workers elsewhere: one load, whose figures meet at the master."""

import asyncio
import signal
from asyncio.subprocess import Process
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtests.options import of_master
from services.stack.ports import claimed_ports
from tests.slow.loadtests.support.runs import Finished, at, due, ended, started
from tests.slow.loadtests.support.slow_shop import slow_shop

pytestmark = pytest.mark.timeout(400)

BROWSE = ("--scenario", "browse", "--warmup", "1", "--customers", "1")
ENDS_WITHIN_S = 120.0


def where(target: str) -> dict[str, str]:
    """Return what tells a master where a shop is whose services are all at one address."""
    return {f"SHOP_{service}_TARGET": target for service in ("USER", "INVENTORY", "ORDER")}


@dataclass(frozen=True, slots=True)
class Ends:
    """How two runs ended that were made at once, for both wait for long."""

    shared: Finished
    codes_of_workers: list[int]
    bereft: Finished


@pytest.fixture(scope="module")
async def ends(tmp_path_factory: pytest.TempPathFactory) -> Ends:
    (shared, codes), bereft = await asyncio.gather(
        run_by_two_workers(tmp_path_factory.mktemp("shared")),
        run_that_loses_its_worker(tmp_path_factory.mktemp("bereft")),
    )
    return Ends(shared, codes, bereft)


async def run_by_two_workers(folder: Path) -> tuple[Finished, list[int]]:
    """Share a load of 240 calls between a worker before its master and one after it."""
    with claimed_ports(1) as (port,):
        join = ("worker", "--master", f"127.0.0.1:{port}")
        words = ("--port", str(port), "--workers", "2", "--duration", "4", "--out", str(folder))
        load = ("--rate", "60", "--users", "8")
        async with AsyncExitStack() as opened:
            shop = await opened.enter_async_context(slow_shop(0.001))
            early = await opened.enter_async_context(started(*join))
            master = await opened.enter_async_context(
                started("master", *words, *BROWSE, *load, **where(shop.target))
            )
            await said(master, b"waiting for 2 workers")
            late = await opened.enter_async_context(started(*join))
            run = await ended(master, folder)
            async with asyncio.timeout(ENDS_WITHIN_S):
                codes = [await worker.wait() for worker in (early, late)]
    return run, codes


async def run_that_loses_its_worker(folder: Path) -> Finished:
    """End the only worker of a run while it measures."""
    with claimed_ports(1) as (port,):
        words = ("--port", str(port), "--workers", "1", "--duration", "600", "--out", str(folder))
        async with (
            slow_shop(0.01) as shop,
            started("master", *words, *BROWSE, "--users", "2", *at(shop.target)) as master,
            started("worker", "--master", f"127.0.0.1:{port}") as worker,
        ):
            await said(master, b"measuring")
            worker.send_signal(signal.SIGTERM)
            return await ended(master, folder)


async def said(process: Process, words: bytes) -> None:
    """Wait until a process has said this."""
    assert process.stderr is not None
    async with asyncio.timeout(ENDS_WITHIN_S):
        while words not in (line := await process.stderr.readline()):
            assert line, "it has ended"


def test_workers_that_come_early_and_late_are_one_load_and_end_with_their_master(
    ends: Ends,
) -> None:
    run = ends.shared
    assert (run.code, ends.codes_of_workers) == (0, [0, 0])
    report = run.report
    assert report.schedule is not None
    # Twice as many would mean that each worker made the whole load, half that one was not heard.
    assert 0.6 * 240 < due(report.schedule) < 1.5 * 240
    assert 4 < max(moment.users for moment in report.timeline) <= 8
    assert report.run.command.startswith("python -m loadtests master --port")


def test_a_run_that_loses_a_worker_is_no_measurement(ends: Ends) -> None:
    run = ends.bereft
    assert run.code == 2
    assert "a process that generates the load has ended" in run.complained
    assert not (run.folder / "report.json").exists()


async def test_a_worker_that_finds_no_master_ends_when_told_to() -> None:
    with claimed_ports(1) as (port,):
        async with started("worker", "--master", f"127.0.0.1:{port}") as worker:
            assert worker.stderr is not None
            async with asyncio.timeout(ENDS_WITHIN_S):
                assert b"working for the master at" in await worker.stderr.readline()
                worker.send_signal(signal.SIGTERM)
                assert await worker.wait() == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("options", "variables", "named"),
    [
        (["--workers", "2"], {}, "which shop?"),
        (["--workers", "0"], {}, "--workers"),
        ([], {}, "--workers"),
        (["--workers", "2"], {"SHOP_USER_TARGET": "user:50051"}, "belong together"),
        (["--workers", "2"], {"SHOP_ORDER_TARGET": "order"}, "SHOP_ORDER_TARGET"),
    ],
)
def test_what_keeps_a_master_from_starting_is_named(
    options: list[str],
    variables: dict[str, str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in where(""):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as raised:
        of_master(options)
    assert raised.value.code == 2
    assert named in capsys.readouterr().err
