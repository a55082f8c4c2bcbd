"""20,000 reads while stores and services break: none is older than promised, and none fails."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import orjson
import pytest

READS = 20_000
LIMIT_S = 150
ENDS_WITHIN_S = 280.0
ATTEMPTS = 3
# The shorter the services wait for their stores, the more a busy machine looks like a broken one.
PATIENT = ("SHOP_REDIS_TIMEOUT_MS=1000", "SHOP_MONGO_TIMEOUT_MS=5000")


async def run(found: Path) -> tuple[int, Any, str]:
    """Make the reads; return the exit code, the figures and the report."""
    command = (
        *(sys.executable, "-m", "bench.prove_cache", "--reads", str(READS)),
        *("--readers", "8", "--limit-s", str(LIMIT_S), "--json", str(found)),
        *(word for setting in PATIENT for word in ("--set", setting)),
    )
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
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


@pytest.mark.timeout(ATTEMPTS * (ENDS_WITHIN_S + 20))
async def test_no_read_is_older_than_promised_while_redis_and_services_break(
    tmp_path: Path,
) -> None:
    reports: list[str] = []
    code = -1
    while code != 0:
        # Where the machine is elsewhere for seconds a read fails, or the time is over. But not each
        # time; and no read is ever stale.
        assert len(reports) < ATTEMPTS, "\n".join(reports)
        code, figures, report = await run(tmp_path / f"found-{len(reports)}.json")
        reports.append(report)
        assert figures["stale"] == 0, report
    assert figures["reads"] >= READS
    assert figures["strict"] > READS // 10
    assert figures["created_behind_not_found"] > 0
    assert set(figures["faults"]) == {"redis-kill", "redis-freeze", "service-kill", "cut"}
