"""The gate runs from end to end. What it measures here says nothing: it is too little."""

import asyncio
import io
import os
import sys
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from threading import Event, Thread
from typing import Any

import orjson
import pytest

from bench.__main__ import WHATS, main
from bench.cache_arms import Extent, echo, of_services
from bench.cache_shop import STEADY, reading_products, running_stores, seed_shop, shop_on
from bench.cpu import cpu_seconds
from bench.gate.limits import FILE
from bench.gate.mutants import CHAIN_US, MUTANTS, NEAR_US, REDIS_US, overlay
from bench.gate.trees import Tree
from bench.gate.verdict import Exit, publish
from bench.load import driving
from bench.racing import measure, warm
from bench.servers import started
from bench.stores import counted
from services.stack.services import running_services

pytestmark = pytest.mark.timeout(900)

WITHIN_S = 840.0
STILL_S = 1.5  # longer than what is near stays proven, shorter than a read may take
SLOWER = {CHAIN_US: "2000", NEAR_US: "9", REDIS_US: "9"}
LITTLE = ("--calls", "32", "--callers", "8", "--products", "40", "--users", "8")
FEW = ("--least", "2", "--most", "2", "--every", "1")


async def bench(*arguments: str) -> tuple[int, str]:
    """The exit code and what is printed, complaints behind."""
    with redirect_stdout(io.StringIO()) as output, redirect_stderr(io.StringIO()) as complaints:
        code = await asyncio.to_thread(main, arguments)
    return code, output.getvalue() + complaints.getvalue()


async def as_command(*arguments: str) -> tuple[int | None, str]:
    """The same of ``python -m bench``."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", *arguments), stdout=PIPE, stderr=STDOUT
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return process.returncode, output.decode()


def verdict(folder: Path) -> Any:
    return orjson.loads((folder / "verdict.json").read_bytes())


def files_of(folder: Path) -> list[Path]:
    return [*folder.iterdir()]


async def test_what_can_be_measured_is_listed() -> None:
    code, said = await as_command("help")
    assert code == 0
    assert all(what in said for what in WHATS)
    code, said = await as_command("nonsense")
    assert (code, "usage:" in said) == (2, True)


async def test_ratios_are_judged_and_written_down(tmp_path: Path) -> None:
    code, said = await bench("gate", "--only", "ratios", *LITTLE, *FEW, "--out", str(tmp_path))
    assert code == 0, said
    found = verdict(tmp_path)
    assert found["verdict"] == "passed"
    assert found["rounds"] == 2
    assert all(check["verdict"] == "undecided" for check in found["checks"])
    assert all(time > 0 for time in found["cpu_us"].values())
    assert (tmp_path / "summary.md").read_text() in said


async def test_a_limit_on_what_is_not_measured_is_named(tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text(FILE.read_text().replace('"GetProduct near"', '"GetProduct far"'))
    publish(tmp_path, {}, "the verdict of an earlier run")
    there = ("--limits", str(limits), "--out", str(tmp_path))
    code, said = await bench("gate", "--only", "ratios", *LITTLE, *FEW, *there)
    assert code == Exit.NOT_MEASURED
    assert files_of(tmp_path) == [limits]
    assert "GetProduct far / echo is not measured" in said


async def test_two_trees_are_measured_beside_each_other(tmp_path: Path) -> None:
    little = (*LITTLE, "--starts", "1", "--rounds", "2", "--out", str(tmp_path))
    code, said = await bench("compare", "HEAD", *little)
    assert code == 0, said
    found = verdict(tmp_path)
    assert found["verdict"] == "passed"
    assert len(found["arms"]) == 10
    assert all(arm["base_us"] > 0 and arm["head_us"] > 0 for arm in found["arms"])


async def test_a_commit_that_is_not_there_is_named() -> None:
    code, said = await bench("compare", "no-such-commit")
    assert code == Exit.NOT_MEASURED
    assert "no-such-commit" in said


async def test_a_crash_of_the_gate_is_neither_red_nor_a_verdict(tmp_path: Path) -> None:
    broken = "import bench.gate.command as gate; gate.measure_ratios = None; raise SystemExit(gate"
    script = f"{broken}.main(['--only', 'ratios', '--out', {str(tmp_path)!r}]))"
    publish(tmp_path, {}, "the verdict of an earlier run")
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stderr=PIPE)
    _, complaints = await process.communicate()
    assert b"TypeError" in complaints
    assert process.returncode not in [*Exit]
    assert files_of(tmp_path) == []


@contextmanager
def standing_still_meanwhile(pid: int, pids: Collection[int]) -> Iterator[None]:
    """Stop processes for a while once a process among them is at work, like a busy machine does."""
    over = Event()

    def stand_still() -> None:
        before = cpu_seconds(pid)
        while cpu_seconds(pid) < before + 0.02 and not over.wait(0.001):
            pass
        for each in pids:
            os.kill(each, SIGSTOP)
        time.sleep(STILL_S)
        for each in pids:
            os.kill(each, SIGCONT)

    thread = Thread(target=stand_still)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def test_a_machine_that_stands_still_spoils_no_measurement() -> None:
    extent = Extent(products=40, users=8, rounds=1, calls=2_000, callers=64)
    async with running_stores() as own:
        await seed_shop(own, extent.products, extent.users)
        with ExitStack() as stack:
            counts = stack.enter_context(counted(own.mongo.uri, own.redis.uri))
            shop = stack.enter_context(shop_on(own, STEADY))
            async with running_services(own.folder, shop) as children:
                of = {name: child.process.pid for name, child in children.items()}
                empty = echo(stack, extent)
                entries = [empty, *of_services(stack, extent, shop, of)["GetProduct"]]
                stores = [store.child.process.pid for store in (own.mongo, own.redis)]
                await asyncio.to_thread(warm, entries, counts, extent.products)
                for entry in entries:
                    with standing_still_meanwhile(entry.pid, [empty.pid, *of.values(), *stores]):
                        await asyncio.to_thread(measure, entry.arm, entry, counts, extent.calls)
                    assert entry.arm.seconds > STILL_S
                    entry.arm.check()


@pytest.mark.parametrize("name", MUTANTS)
async def test_services_take_a_mutant_on(tmp_path: Path, name: str) -> None:
    tree = Tree(name, before=overlay(name, tmp_path), settings=SLOWER)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "import services.common.batching as b; print(b.__name__)"),
        *("services.inventory",),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **tree.variables},
    )
    output, complaints = await process.communicate()
    assert (process.returncode, output, complaints) == (0, b"services.common.batching\n", b"")


def test_a_slow_chain_makes_the_empty_call_dearer_and_not_the_bare_one(tmp_path: Path) -> None:
    slow = Tree("slow-chain", before=overlay("slow-chain", tmp_path), settings=SLOWER)
    cost_ms = {}
    for layers in ("none", "full"):
        arguments = ["empty", "native", layers]
        with (
            started("bench.rpc_server", arguments, {**os.environ, **slow.variables}) as server,
            driving(reading_products(server.address, [0])) as driver,
        ):
            before = cpu_seconds(server.pid)
            driver.make(200)
            cost_ms[layers] = (cpu_seconds(server.pid) - before) / 200 * 1_000
    assert cost_ms["none"] < 1 < cost_ms["full"]


async def test_a_mutant_that_cannot_be_taken_on_ends_the_service(tmp_path: Path) -> None:
    tree = Tree("slow-cache", before=overlay("slow-cache", tmp_path))  # it is not told how slow
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "print('served')", "services.inventory"),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **tree.variables},
    )
    output, complaints = await process.communicate()
    assert (process.returncode, output) == (2, b"")
    assert NEAR_US in complaints.decode()
