"""The measurements run from end to end. What they find here says nothing: it is too little."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable

import pytest

from bench.rpc import variants

pytestmark = pytest.mark.timeout(900)

TRIES = 3
WITHIN_S = 280.0
CHECKOUT = "`CreateOrder`, 3 products"


async def ran(what: str, *arguments: str) -> tuple[int | None, str, str]:
    """The exit code of a measurement, what it prints, and its complaints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", what, *arguments), stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            output, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return process.returncode, output.decode(), complaints.decode()


async def run(
    what: str, *arguments: str, believable: Callable[[str], bool] = lambda _: True
) -> str:
    """What a measurement prints, made again if the machine stood still in it."""
    for _ in range(TRIES):
        code, said, complaints = await ran(what, *arguments)
        if code == 0 and believable(said):
            return said
    pytest.fail(f"{what} ended with {code} at each try: {said}{complaints}")


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
    assert len(re.findall(r"^- (?:met|missed): GetProduct", said, re.MULTILINE)) == 6


async def test_the_cost_of_a_cached_read_is_measured_by_the_number_of_keys() -> None:
    said = await run("cache", "--rounds", "1", "--calls", "100", "--keys", "30,60")
    rows = [line for line in said.splitlines() if re.search(r"\d us \(", line)]
    assert [row.split("|")[1].strip() for row in rows] == ["30", "60"]
    assert "filled with 60 products" in said


def costs_of_processes(said: str) -> dict[str, list[float]]:
    """What each kind of call costs each process, and all together."""
    return {line.split("|")[1].strip(): figures(line, 6) for line in said.splitlines()[4:]}


def all_took_part(said: str) -> bool:
    """Say whether more was measured of each process in a checkout than it does at rest."""
    user, inventory, order, mongod, *_ = costs_of_processes(said)[CHECKOUT]
    return min(user, inventory, order, mongod) > 0


async def test_the_cost_of_a_call_to_every_process_is_measured() -> None:
    said = await run("sizing", "--rounds", "1", "--calls", "200", believable=all_took_part)
    rows = costs_of_processes(said)
    *parts, together = rows[CHECKOUT]
    assert together >= max(parts)
    assert len(rows) == 11


def traced_rows(said: str) -> list[str]:
    """The rows of a table of what traces cost."""
    return [line for line in said.splitlines() if re.search(r"\d us \|", line)]


def spans_came(said: str) -> bool:
    """Say whether spans came of every traced arm before it was left."""
    return all(figures(row, 1) != [0.0] for row in traced_rows(said)[1::2])


async def test_the_cost_of_traces_is_measured_for_every_kind_of_call() -> None:
    said = await run(
        *("tracing", "--rounds", "1", "--calls", "100", "--sampled", "1"), believable=spans_came
    )
    rows = traced_rows(said)
    assert [[cell.strip() for cell in row.split("|")[1:3]] for row in rows] == [
        [call, way] for call in ("empty", "GetProduct near", "CreateOrder") for way in ("off", "1")
    ]
    for untraced in rows[::2]:
        assert figures(untraced, 2) == [1.0, 0.0]
