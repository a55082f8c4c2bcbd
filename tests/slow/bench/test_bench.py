"""The measurements run from end to end. What they find here says nothing: it is too little.

What is measured are processes, as ever. The one that measures is this, and the stores are shared.
"""

import asyncio
import io
import multiprocessing
import os
import re
import runpy
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import cast

import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from bench import cache, cache_arms, cache_keys, rpc, sizing, sizing_works, tracing
from bench.__main__ import main
from bench.cache_shop import Stores
from bench.rpc import variants
from bench.servers import Server
from services.stack.folder import DataFolder
from services.stack.stores import Store, running_mongod, running_redis

pytestmark = pytest.mark.timeout(900)

ENDS_WITHIN_S = 60.0
CHECKOUT = "`CreateOrder`, 3 products"
FORKING = multiprocessing.get_context("forkserver")
MONGODBS_OWN = {"admin", "config", "local"}


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stores]:
    folder = DataFolder(tmp_path_factory.mktemp("bench"))
    folder.prepare()
    async with running_mongod(folder) as mongo, running_redis(folder) as redis:
        yield Stores(folder, mongo, redis)


@asynccontextmanager
async def emptied_mongodb(store: Store) -> AsyncIterator[Store]:
    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(store.uri)
    async with client:
        for name in set(await client.list_database_names()) - MONGODBS_OWN:
            await client.drop_database(name)
    yield store


@asynccontextmanager
async def emptied_redis(store: Store) -> AsyncIterator[Store]:
    async with Redis.from_url(store.uri) as client:
        await client.flushall()
    yield store


@asynccontextmanager
async def emptied(stores: Stores) -> AsyncIterator[Stores]:
    async with emptied_mongodb(stores.mongo), emptied_redis(stores.redis):
        yield stores


@pytest.fixture(autouse=True)
def _set_up(shared: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty the stores for each measurement, and fork servers, in place of starting them anew."""
    for measurement in (cache, sizing, tracing):
        monkeypatch.setattr(measurement, "running_stores", lambda: emptied(shared))
    monkeypatch.setattr(rpc, "running_mongod", lambda _: emptied_mongodb(shared.mongo))
    monkeypatch.setattr(rpc, "running_redis", lambda _: emptied_redis(shared.redis))
    FORKING.set_forkserver_preload(["bench.empty_server", "services.inventory.bootstrap"])
    for starting in (cache, cache_arms, rpc, tracing):
        monkeypatch.setattr(starting, "started", forked)


async def run(what: str, *arguments: str) -> str:
    """What a measurement prints."""
    with redirect_stdout(io.StringIO()) as output:
        code = await asyncio.to_thread(main, [what, *arguments])
    said = output.getvalue()
    assert code == 0, said
    return said


def become(
    module: str, arguments: Sequence[str], variables: Mapping[str, str], folder: Path
) -> None:
    """Run a module in this process, between two pipes."""
    os.environ.clear()
    os.environ.update(variables)
    sys.stdin = (folder / "in").open()
    os.dup2(os.open(folder / "out", os.O_WRONLY), sys.stdout.fileno())
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


@contextmanager
def forked(
    module: str, arguments: Sequence[str], variables: Mapping[str, str] | None = None, *_: str
) -> Iterator[Server]:
    """Run a server as ``bench.servers.started`` does, but with most of its imports made before."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for pipe in ("in", "out"):
            os.mkfifo(folder / pipe)
        plan = (module, arguments, {**(variables or os.environ)}, folder)
        process = FORKING.Process(target=become, args=plan, daemon=True)
        process.start()
        with (folder / "in").open("w"), (folder / "out").open() as output:
            known = SimpleNamespace(pid=process.pid, stdout=output)
            yield Server(cast("subprocess.Popen[str]", known))
        process.join(ENDS_WITHIN_S)
        assert process.exitcode == 0


def figures(row: str, count: int) -> list[float]:
    """The last figures of a line."""
    return [float(n.replace(",", "")) for n in re.findall(r"[\d,]+\.?\d*", row)[-count:]]


async def test_the_cost_of_a_call_is_measured_for_every_variant() -> None:
    said = await run("rpc", "--rounds", "1", "--calls", "200")
    assert "1 rounds of 200 calls each, 64 at a time" in said
    rows = [line for line in said.splitlines() if re.search(r"\d us \|", line)]
    assert len(rows) == len(variants())
    for row, variant in zip(rows, variants(), strict=True):
        assert variant.name in row
        assert all(figure > 0 for figure in figures(row, 3))


async def test_the_cost_of_a_cached_read_is_measured_in_every_arm() -> None:
    said = await run(
        "cache",
        *("--rounds", "2", "--calls", "400", "--callers", "8"),
        *("--products", "40", "--users", "8"),
    )
    methods = ("GetProduct", "ListUserOrders", "GetUserProfile")
    arms = {f"{method} {layer}" for method in methods for layer in ("near", "redis", "uncached")}
    rows = [line for line in said.splitlines() if re.search(r"\d us \|", line)]
    assert {row.split("|")[1].strip() for row in rows} == {
        "echo", "naive cached", "naive uncached", *arms,
    }  # fmt: skip
    assert all(figure > 0 for row in rows for figure in figures(row, 2))
    assert "missed" not in said, "limits are the gate's"


async def test_the_cost_of_a_cached_read_is_measured_by_the_number_of_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache_keys, "_WARMING_CALLS", 200)
    said = await run("cache", "--rounds", "1", "--calls", "100", "--keys", "30,60")
    rows = [line for line in said.splitlines() if re.search(r"\d us \(", line)]
    assert [row.split("|")[1].strip() for row in rows] == ["30", "60"]
    assert "filled with 60 products" in said


def costs_of_processes(said: str) -> dict[str, list[float]]:
    """What each kind of call costs each process, and all together."""
    return {line.split("|")[1].strip(): figures(line, 6) for line in said.splitlines()[4:]}


async def test_the_cost_of_a_call_to_every_process_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sizing, "_SETTLED_AFTER_S", 0.1)
    monkeypatch.setattr(sizing_works, "_REGULARS", 4)
    said = await run("sizing", "--rounds", "1", "--calls", "200")
    rows = costs_of_processes(said)
    *parts, together = rows[CHECKOUT]
    assert together >= max(parts)
    assert together > 0
    assert len(rows) == 11


def traced_rows(said: str) -> list[str]:
    """The rows of a table of what traces cost."""
    return [line for line in said.splitlines() if re.search(r"\d us \|", line)]


async def test_the_cost_of_traces_is_measured_for_every_kind_of_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracing, "_PRODUCTS", 200)
    monkeypatch.setattr(tracing, "_USERS", 20)
    monkeypatch.setattr(tracing, "_SENT_WITHIN_S", 2.0)
    said = await run("tracing", "--rounds", "1", "--calls", "100", "--sampled", "1")
    rows = traced_rows(said)
    assert [[cell.strip() for cell in row.split("|")[1:3]] for row in rows] == [
        [call, way] for call in ("empty", "GetProduct near", "CreateOrder") for way in ("off", "1")
    ]
    for untraced in rows[::2]:
        assert figures(untraced, 2) == [1.0, 0.0]
    for traced in rows[1::2]:
        assert figures(traced, 1) != [0.0]
