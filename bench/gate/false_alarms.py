"""``python -m bench false-alarms``: how often the ratios are red though nothing has changed.

The gate runs on this code again and again, each time with new processes and stores. Whatever is
red is a false alarm. The exit code is 3 if there was one, and 4 if it could not be measured.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from bench.gate.command import FAULTS, add_pace, bout_of, pace_of
from bench.gate.limits import read_limits
from bench.gate.ratios import Measured, confirmed, measure_ratios
from bench.gate.verdict import Exit, Verdict


def main(argv: Sequence[str]) -> int:
    """Run the gate so often, say how often it was red, and return the exit code."""
    given = _parser().parse_args(argv)
    beyond, alarms = 0, Counter[str]()
    red_runs = 0
    try:
        limits = read_limits()
        for number in range(given.runs):
            measured = measure_ratios(limits.ratios, pace_of(given))
            beyond += bool(measured.beyond)
            ruled = confirmed(measured, limits, bout_of(pace_of(given)))
            red_runs += bool(ruled.red)
            alarms.update(check.name for check in ruled.red)
            _say(number + 1, measured, ruled)
    except FAULTS as error:
        sys.stderr.write(f"\nnot measured: {error}\n")
        return Exit.NOT_MEASURED
    sys.stdout.write(
        f"\n{red_runs} false alarms in {given.runs} runs of {len(limits.ratios)} ratios; "
        f"in {beyond} runs a ratio lay beyond its limit before it was measured beside the "
        "calibrated commit\n"
    )
    sys.stdout.writelines(f"red {count} times: {name}\n" for name, count in alarms.items())
    return Exit.RED if red_runs else Exit.PASSED


def _say(number: int, measured: Measured, ruled: Measured) -> None:
    undecided = sum(check.verdict is Verdict.UNDECIDED for check in measured.checks)
    beyond = [f"{check.name} {check.measured}" for check in measured.beyond]
    sys.stdout.write(
        f"run {number}: {measured.times.rounds} rounds, {undecided} undecided, "
        f"beyond the limit: {', '.join(beyond) or 'none'}, red: {len(ruled.red)}\n"
    )
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench false-alarms",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=20)
    add_pace(parser)
    return parser
