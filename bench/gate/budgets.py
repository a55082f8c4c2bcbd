"""The budgets, held by the tests that count them."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from bench.gate.trees import HERE
from bench.gate.verdict import Check, Verdict

TESTS: Final = "tests/budgets"
_LIMIT_S: Final = 600
_SOME_FAILED: Final = 1


class BudgetsNotCountedError(Exception):
    """The tests could not be run."""


def count_budgets() -> list[Check]:
    """Run the tests and return what each found. Raises ``BudgetsNotCountedError``."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [
            *(sys.executable, "-m", "pytest", TESTS, "-q", "--no-header", "--tb", "line"),
            *("-p", "no:cacheprovider", "--junit-xml", str(results), "-o", "junit_family=xunit1"),
        ]
        done = subprocess.run(  # noqa: S603
            command, check=False, timeout=_LIMIT_S, cwd=HERE, stdout=subprocess.PIPE, text=True
        )
        if done.returncode not in {0, _SOME_FAILED}:
            raise BudgetsNotCountedError(done.stdout[-2_000:])
        return read_results(results)


def read_results(results: Path) -> list[Check]:
    """Return a check for each test of a JUnit file, red if what it measured is not the limit.

    A test that measured nothing has judged nothing. Raises ``BudgetsNotCountedError``.
    """
    suite = ET.parse(results).getroot()  # noqa: S314 (pytest has just written it)
    return [_check(case) for case in suite.iter("testcase")]


def _check(case: ET.Element) -> Check:
    said = {found.get("name", ""): found.get("value", "") for found in case.iter("property")}
    failure = next(
        (found for kind in ("failure", "error", "skipped") for found in case.iter(kind)), None
    )
    why = "" if failure is None else failure.get("message", "")[:500]
    if failure is not None and (failure.tag == "error" or "measured" not in said):
        raise BudgetsNotCountedError(f"{case.get('name')}: {why}")
    return Check(
        kind="budget",
        name=said.get("check", case.get("name", "")),
        limit=said.get("limit", ""),
        measured=said.get("measured", ""),
        verdict=Verdict.PASSED if failure is None else Verdict.RED,
        detail=why,
    )
