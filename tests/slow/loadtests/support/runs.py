"""Load runs as their users start them: processes of Locust's own environment."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from loadtests import PROJECT
from loadtests.report_file import read_report
from loadtests.results import Report, Sample, Schedule

PYTHON = PROJECT / ".venv-load/bin/python"
ENDS_WITHIN_S = 180.0


@dataclass(frozen=True, slots=True)
class Finished:
    """A load run that has ended."""

    code: int
    said: str
    complained: str
    folder: Path

    @property
    def report(self) -> Report:
        """What it has written."""
        return read_report(self.folder / "report.json")

    def sample(self, method: str, arm: str = "") -> Sample:
        """What it has found of a method."""
        (found,) = (s for s in self.report.samples if (s.method, s.arm) == (method, arm))
        return found


@asynccontextmanager
async def started(*words: str, **variables: str) -> AsyncIterator[Process]:
    """Run ``python -m loadtests`` until the end of the block."""
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("SHOP_")}
    process = await asyncio.create_subprocess_exec(
        str(PYTHON),
        *("-m", "loadtests", *words),
        cwd=PROJECT,
        env={**inherited, "PYTHONPATH": str(PROJECT), **variables},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def load(folder: Path, *options: str, **variables: str) -> Finished:
    """Run a load to its end."""
    async with started("run", "--out", str(folder), *options, **variables) as process:
        return await ended(process, folder)


async def ended(process: Process, folder: Path) -> Finished:
    """Wait for the end of a run."""
    async with asyncio.timeout(ENDS_WITHIN_S):
        said, complained = await process.communicate()
    assert process.returncode is not None
    finished = Finished(process.returncode, said.decode(), complained.decode(), folder)
    sys.stdout.write(finished.said + finished.complained)  # shown where a test fails
    return finished


def due(schedule: Schedule) -> int:
    """Return how many calls were to start, whether the machine let them or not."""
    return schedule.started + schedule.never_started


def at(target: str) -> list[str]:
    """Return the options of a shop whose services are all at one address."""
    return [f"--{service}={target}" for service in ("user", "inventory", "order")]
