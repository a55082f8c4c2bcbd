"""What was measured against which limit, and what follows from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from math import isfinite
from pathlib import Path
from typing import Any, Final

import orjson

from bench.gate.limits import RatioLimit
from bench.gate.statistics import CONFIDENCE, Interval, median_interval

FORMAT: Final = "shop-gate-verdict/1"
_FILES: Final = ("verdict.json", "summary.md")


class Exit(IntEnum):
    """What ends a command that judges. 1 is Python's, for an exception that nobody expected."""

    PASSED = 0
    RED = 3
    NOT_MEASURED = 4


class Verdict(StrEnum):
    """The outcome of a check. Only red ones are regressions."""

    PASSED = "passed"
    UNDECIDED = "passed, but the noise reaches over the limit"
    ELSEWHERE = "passed, for the calibrated commit costs the same here"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Check:
    """One check; ``low`` and ``high`` bound what was measured where that is not exact.

    ``beyond`` says that the measurement itself is over the limit, however sure that is.
    """

    kind: str
    name: str
    limit: str
    measured: str
    verdict: Verdict
    low: float | None = None
    high: float | None = None
    beyond: bool = False
    detail: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the check as JSON has it."""
        return {
            "kind": self.kind,
            "name": self.name,
            "limit": self.limit,
            "measured": self.measured,
            "low": self.low,
            "high": self.high,
            "verdict": self.verdict.name.lower(),
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Ruling:
    """All checks of a run, how many rounds the ratios took, and what the arms cost."""

    checks: Sequence[Check]
    rounds: int
    cpu_us: Mapping[str, float]
    circumstances: Mapping[str, str]

    @property
    def red(self) -> list[Check]:
        """The checks that found a regression."""
        return [check for check in self.checks if check.verdict is Verdict.RED]

    def as_json(self) -> dict[str, Any]:
        """Return the ruling as ``verdict.json`` has it."""
        return {
            "format": FORMAT,
            "verdict": "red" if self.red else "passed",
            "confidence": CONFIDENCE,
            "rounds": self.rounds,
            "checks": [check.as_json() for check in self.checks],
            "cpu_us": {arm: round(time, 2) for arm, time in self.cpu_us.items()},
            **self.circumstances,
        }


def discard(folder: Path) -> None:
    """Remove the verdict of an earlier run, so that nobody takes it for that of a later one."""
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)


def publish(folder: Path, found: Mapping[str, Any], said: str) -> None:
    """Write ``verdict.json`` for programs and ``summary.md`` for readers."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = (orjson.dumps(found, option=orjson.OPT_INDENT_2), said.encode())
    for name, content in zip(_FILES, contents, strict=True):
        (folder / name).write_bytes(content)


def judged(interval: Interval, at_most: float) -> Verdict:
    """Return red only if the whole interval lies beyond the limit."""
    if interval.low > at_most:
        return Verdict.RED
    return Verdict.PASSED if interval.high <= at_most else Verdict.UNDECIDED


def ratio_check(limit: RatioLimit, ratios: Sequence[float]) -> Check:
    """Judge the ratios of all rounds by their median."""
    interval = median_interval(ratios)
    bounded = isfinite(interval.low)
    return Check(
        kind="ratio",
        name=limit.name,
        limit=f"at most {limit.at_most:g}",
        measured=f"{interval.middle:.3f}",
        verdict=judged(interval, limit.at_most),
        low=round(interval.low, 4) if bounded else None,
        high=round(interval.high, 4) if bounded else None,
        beyond=bounded and interval.middle > limit.at_most,
    )


def summary(ruling: Ruling) -> str:
    """Return what a pull request is to be told, in Markdown."""
    checks = ruling.checks
    exact = [check for check in checks if check.kind == "budget"]
    ratios = [check for check in checks if check.kind == "ratio"]
    kept = sum(check.verdict is not Verdict.RED for check in exact)
    lines = [
        f"### Gate: {'red' if ruling.red else 'passed'}",
        "",
        f"Budgets: {kept} of {len(exact)} kept.",
        *(_line(check) for check in exact if check.verdict is Verdict.RED),
    ]
    if ratios:
        measured = f"CPU time per call, medians of {ruling.rounds} paired rounds"
        lines += [
            "",
            f"{measured}, {CONFIDENCE:.0%} confidence:",
            "",
            "| ratio | measured | interval | limit | |",
            "|---|---:|---:|---:|---|",
            *map(_row, ratios),
        ]
    return "\n".join([*lines, ""])


def _line(check: Check) -> str:
    if not check.measured:
        return f"- **{check.name}**: {check.detail}"
    return f"- **{check.name}**: {check.measured}, and the limit is {check.limit}"


def _row(check: Check) -> str:
    span = "unknown" if check.low is None else f"{check.low:.3f} to {check.high:.3f}"
    red = check.verdict is Verdict.RED
    said = f"**red** {check.detail}".rstrip() if red else str(check.verdict)
    limit = check.limit.removeprefix("at most ")
    return f"| {check.name} | {check.measured} | {span} | {limit} | {said} |"
