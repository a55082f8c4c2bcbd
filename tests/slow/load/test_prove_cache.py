"""20,000 reads while stores and services break: none is older than promised, and none fails."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import orjson
import pytest

from bench.gate.verdict import Exit
from bench.prove_cache.faults import KINDS

READS = 20_000
LIMIT_S = 240
ENDS_WITHIN_S = 400.0

# What is owed is never paid, and nobody waits for others to pay.
MUTANT = """
import sys
if any(word.startswith("services.") for word in sys.orig_argv):
    from services.common.cache.breaker import Breaker
    from services.common.cache.invalidation import Invalidations

    recovered = Breaker.recovered

    def recovered_at_once(self):
        self._settle_s = 0.0
        recovered(self)

    async def pay_nothing(self):
        self._owed.clear()
        self.due.clear()

    assert Invalidations.pay
    Breaker.recovered = recovered_at_once
    Invalidations.pay = pay_nothing
"""
OF_THE_MUTANT = "redis-freeze,redis-cut-off,redis-loading"


async def run(found: Path, *options: str, overlay: Path | None = None) -> tuple[int, Any, str]:
    """Run the proof; return the exit code, the figures and the report."""
    path = {} if overlay is None else {"PYTHONPATH": f"{overlay}{os.pathsep}{Path.cwd()}"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", "prove", "--readers", "8", "--limit-s", str(LIMIT_S)),
        *("--json", str(found), *options),
        stdout=PIPE,
        env={**os.environ, **path},
    )
    try:
        async with asyncio.timeout(ENDS_WITHIN_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode is not None
    report = output.decode()
    return process.returncode, figures_in(found, report), report


def figures_in(found: Path, report: str) -> Any:
    """Return the figures of a run that came to its end."""
    assert found.exists(), report
    return orjson.loads(found.read_bytes())


@pytest.mark.timeout(ENDS_WITHIN_S + 20)
async def test_no_read_is_older_than_promised_while_redis_and_services_break(
    tmp_path: Path,
) -> None:
    code, figures, report = await run(tmp_path / "found.json", "--reads", str(READS))
    assert code == Exit.PASSED, report
    assert figures["strict"] > READS // 4
    assert figures["created_behind_not_found"] > 0
    assert set(figures["faults"]) == set(KINDS)


@pytest.mark.timeout(ENDS_WITHIN_S + 20)
async def test_invalidations_that_are_lost_while_redis_is_away_turn_the_run_red(
    tmp_path: Path,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(MUTANT)
    code, figures, report = await run(
        tmp_path / "found.json", "--reads", "1000", "--faults", OF_THE_MUTANT, overlay=tmp_path
    )
    assert code == Exit.RED, report
    assert figures["stale"] > 0
