"""The benchmarks of the layers run, and are saved as pytest-benchmark saves its own."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

pytestmark = pytest.mark.timeout(900)

WITHIN_S = 400.0
SLEEPING = """
import asyncio
from contextlib import asynccontextmanager

from bench.layers.contest import Group
from bench.layers.members import Local, awaited
from bench.layers.reporting import benchmarks


def sleep(name, seconds, said):
    return Local(name, awaited(lambda: asyncio.sleep(seconds, said), lambda it: it == "slept"))


@asynccontextmanager
async def sleeping(_setting):
    yield [sleep("5 ms", 0.005, "slept"), sleep("20 ms", 0.02, "slept")]


@asynccontextmanager
async def lying(_setting):
    yield [sleep("1 ms", 0.001, "stayed awake"), sleep("2 ms", 0.002, "slept")]


test_layer = benchmarks(
    [Group("sleeping", ("5 ms", "20 ms"), sleeping), Group("lying", ("1 ms", "2 ms"), lying)]
)
"""


class Said(NamedTuple):
    """How a command ended and what it wrote."""

    code: int | None
    output: str
    complaints: str


async def run(*arguments: str) -> Said:
    # A worker of pytest-xdist measures nothing, and who has its variables passes for one.
    environment = {name: v for name, v in os.environ.items() if not name.startswith("PYTEST_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdout=PIPE, stderr=PIPE, env=environment
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            output, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return Said(process.returncode, output.decode(), complaints.decode())


def measured(storage: Path) -> dict[str, dict[str, Any]]:
    """What was saved, by the names of the members."""
    (path,) = storage.glob("*/0001_*.json")
    benchmarks = orjson.loads(path.read_bytes())["benchmarks"]
    return {one["extra_info"]["member"]: one for one in benchmarks}


async def test_the_chosen_layers_are_measured_saved_and_printed(tmp_path: Path) -> None:
    said = await run(
        *("bench.layers", "--quick", "-k", "codec and product", "--storage", str(tmp_path))
    )
    assert said.code == 0, said.complaints
    found = measured(tmp_path)
    assert {one["group"] for one in found.values()} == {"codec of a product"}
    rows = said.output.splitlines()
    for member, one in found.items():
        assert any(row.strip().startswith(member) for row in rows)
        assert one["stats"]["rounds"] == len(one["stats"]["data"]) == 5
        assert 0 < one["stats"]["median"] < 0.1
    # pytest-benchmark itself reads what was saved.
    compared = await run(
        *("pytest_benchmark", "--storage", f"file://{tmp_path}", "compare", "0001"),
        *("--group-by", "group"),
    )
    assert compared.code == 0, compared.complaints
    assert "codec of a product: JSON to model" in compared.output


async def test_pytest_and_its_options_can_measure_the_layers_too(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    said = await run(
        *("pytest", "bench", "-k", "token and known", "-p", "no:cacheprovider"),
        *("--benchmark-only", "--benchmark-json", str(path)),
    )
    assert said.code == 0, said.output
    (one,) = orjson.loads(path.read_bytes())["benchmarks"]
    assert (one["group"], one["extra_info"]["member"]) == ("token check", "known from before")
    assert 0 < one["stats"]["median"] < 0.01


async def test_what_needs_stores_and_services_is_measured_on_real_ones(tmp_path: Path) -> None:
    chosen = "cold or (checkout and not items)"  # a checkout of a single item
    said = await run(*("bench.layers", "--quick", "-k", chosen, "--storage", str(tmp_path)))
    assert said.code == 0, said.complaints
    found = measured(tmp_path)
    assert {one["group"] for one in found.values()} == {"cold read", "checkout"}
    for one in found.values():
        assert one["extra_info"]["cpu_us"] > 0
        assert one["extra_info"]["stores_cpu_us"] > 0


async def test_a_false_claim_fails_the_run_and_figures_are_those_of_one_operation(
    tmp_path: Path,
) -> None:
    layers = tmp_path / "test_sleeping.py"
    layers.write_text(SLEEPING)
    storage = tmp_path / "saved"
    said = await run("bench.layers", "--quick", "--storage", str(storage), str(layers))
    assert said.code == 1
    assert said.complaints.count("no figures: the result is wrong") >= 2
    found = measured(storage)
    assert set(found) == {"5 ms", "20 ms"}
    # How late a sleeper wakes up is the machine's affair; how many sleeps there were is not.
    for member, seconds in (("5 ms", 0.005), ("20 ms", 0.02)):
        one = found[member]
        assert 0.5 * seconds < one["stats"]["min"] <= one["stats"]["median"] < seconds + 1
        assert one["extra_info"]["operations_per_round"] >= 1
        assert 0 < one["extra_info"]["cpu_us"] < 1e6
    assert "lying" not in said.output
