"""``python -m bench false-alarms``: how often the ratios are red though nothing has changed.

The gate runs on this code again and again, each time with new processes and stores. Whatever is
red is a false alarm. The exit code is 1 if there was one, and 2 if it could not be measured.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from bench.gate.command import FAULTS, NOT_MEASURED, add_pace, pace_of
from bench.gate.limits import read_limits
from bench.gate.ratios import measure_ratios
from bench.gate.verdict import Verdict


def main(argv: Sequence[str]) -> int:
    """Run the gate so often, say how often it was red, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench false-alarms",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=20)
    add_pace(parser)
    given = parser.parse_args(argv)
    alarms = 0
    red, undecided = Counter[str](), Counter[str]()
    try:
        limits = read_limits().ratios
        for number in range(given.runs):
            measured = measure_ratios(limits, pace_of(given))
            found = {check.name: check for check in measured.checks}
            by_verdict = {
                verdict: [name for name, check in found.items() if check.verdict is verdict]
                for verdict in Verdict
            }
            red.update(by_verdict[Verdict.RED])
            undecided.update(by_verdict[Verdict.UNDECIDED])
            alarms += bool(by_verdict[Verdict.RED])
            said = [f"{name} {found[name].measured}" for name in by_verdict[Verdict.RED]]
            sys.stdout.write(
                f"run {number + 1}: {', '.join(said) or 'nothing'} red, "
                f"{len(by_verdict[Verdict.UNDECIDED])} undecided, {measured.times.rounds} rounds\n"
            )
            sys.stdout.flush()
    except FAULTS as error:
        sys.stderr.write(f"\nnot measured: {error}\n")
        return NOT_MEASURED
    sys.stdout.write(f"\n{alarms} false alarms in {given.runs} runs of {len(limits)} ratios\n")
    for counts, how in ((red, "red"), (undecided, "undecided")):
        sys.stdout.writelines(f"{how} {count} times: {name}\n" for name, count in counts.items())
    return 1 if alarms else 0
