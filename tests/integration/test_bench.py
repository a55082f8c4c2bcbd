"""The measurements run from end to end. What they find here says nothing: it is too little."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE

from bench.rpc import variants


async def test_the_cost_of_a_call_is_measured_for_every_variant() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.rpc", "--rounds", "1", "--calls", "200"),
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(110):
            output, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode == 0, complaints.decode()
    said = output.decode()
    assert "1 rounds of 200 calls each, 64 at a time" in said
    rows = [line for line in said.splitlines() if re.search(r"\d us \|", line)]
    assert len(rows) == len(variants())
    for row, variant in zip(rows, variants(), strict=True):
        assert variant.name in row
        figures = [float(n.replace(",", "")) for n in re.findall(r"[\d,]+\.?\d*", row)[-3:]]
        assert all(figure > 0 for figure in figures)
