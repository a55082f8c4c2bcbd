"""``python -m bench gate``: whether budgets and ratios are kept.

Budgets are counted first, by the tests in tests/budgets; then the ratios of CPU time are measured,
in rounds, until each is decided or the rounds are over. What lies beyond its limit is measured
beside the calibrated commit, and red only if it is dearer than there. ``verdict.json`` and
``summary.md`` say what was found. The exit code is 3 if something is red, and 4 if it could not be
measured.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Final

from bench.arms import NotWhatItClaimsError
from bench.gate.budgets import BudgetsNotCountedError, count_budgets
from bench.gate.circumstances import circumstances, commit
from bench.gate.duel import Bout
from bench.gate.limits import FILE, Limits, UnusableLimitsError, read_limits
from bench.gate.race import Pace
from bench.gate.ratios import calibrated, confirmed, measure_ratios
from bench.gate.verdict import Check, Exit, Ruling, discard, publish, summary
from bench.load import CallsFailedError

FAULTS: Final = (
    BudgetsNotCountedError,
    CallsFailedError,
    NotWhatItClaimsError,
    UnusableLimitsError,
)
_PARTS: Final = ("budgets", "ratios")


def main(argv: Sequence[str]) -> int:
    """Judge, write the verdict, say it, and return the exit code."""
    given = _parser().parse_args(argv)
    discard(given.out)
    try:
        limits = read_limits(given.limits)
        if given.calibrate:
            sys.stdout.write(_calibration(limits, pace_of(given), given.calibrate))
            return Exit.PASSED
        ruling = rule(limits, pace_of(given), given.only or _PARTS)
    except FAULTS as error:
        sys.stderr.write(f"\nno verdict: {error}\n")
        return Exit.NOT_MEASURED
    publish(given.out, ruling.as_json(), summary(ruling))
    sys.stdout.write(f"{summary(ruling)}\n{given.out / 'verdict.json'}\n")
    return Exit.RED if ruling.red else Exit.PASSED


def rule(limits: Limits, pace: Pace, parts: Sequence[str]) -> Ruling:
    """Count and measure the parts that are asked for, and judge them. Raises ``FAULTS``."""
    checks: list[Check] = []
    rounds, cpu_us = 0, dict[str, float]()
    if "budgets" in parts:
        checks += count_budgets()
    if "ratios" in parts:
        measured = confirmed(measure_ratios(limits.ratios, pace), limits, bout_of(pace))
        checks += measured.checks
        rounds, cpu_us = measured.times.rounds, measured.times.medians()
    return Ruling(checks, rounds, cpu_us, circumstances())


def add_pace(parser: argparse.ArgumentParser) -> None:
    """Add what says how much is measured."""
    usual = Pace()
    add = parser.add_argument
    add("--calls", type=int, default=usual.calls, help="per arm and round")
    add("--callers", type=int, default=usual.callers, help="at a time, a multiple of 4")
    add("--least", type=int, default=usual.least, help="rounds")
    add("--most", type=int, default=usual.most, help="rounds")
    add("--every", type=int, default=usual.every, help="rounds between two looks at the intervals")
    add("--products", type=int, default=usual.products, help="how many there are")
    add("--users", type=int, default=usual.users, help="how many there are, of 20 orders each")


def pace_of(given: argparse.Namespace) -> Pace:
    """Return how much is measured."""
    return Pace(**{field.name: getattr(given, field.name) for field in fields(Pace)})


def bout_of(pace: Pace) -> Bout:
    """Return as much, for two trees side by side."""
    usual = Bout()
    return Bout(
        usual.starts,
        min(usual.rounds, pace.most),
        pace.calls,
        pace.callers,
        pace.products,
        pace.users,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench gate",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=_PARTS, help="one part")
    parser.add_argument("--limits", type=Path, default=FILE)
    parser.add_argument("--out", type=Path, default=Path("out/gate"))
    parser.add_argument(
        "--calibrate", type=int, metavar="RUNS", help="propose limits for the ratios instead"
    )
    add_pace(parser)
    return parser


def _calibration(limits: Limits, pace: Pace, runs: int) -> str:
    """Return the tables of ratios for the file of limits, from so many runs in full."""
    found = []
    for number in range(runs):
        sys.stderr.write(f"run {number + 1} of {runs}\n")
        found.append(measure_ratios(limits.ratios, pace.whole).times)
    made_of = commit().removesuffix("-dirty")
    lines = [f'calibrated = "{made_of}"', ""]
    for limit, (at_most, spread) in zip(
        limits.ratios, calibrated(limits.ratios, found), strict=True
    ):
        lines += [
            "[[ratios]]",
            f'arm = "{limit.arm}"',
            f'to = "{limit.to}"',
            f"at_most = {at_most:.3g} # the medians of {runs} runs were {spread:.1%} apart",
            "",
        ]
    return "\n".join(lines)
