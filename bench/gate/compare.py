"""``python -m bench compare <git ref>``: what changed in cost between a commit and this code.

The services of both run at once on this machine, each on stores of its own, and every arm is
measured for one directly after the other, in rounds, over several starts of all processes. The
ratio of CPU time, this code's to the other's, has a confidence interval for its median by order
statistics; whether it differs from 1 says the sign test, corrected by Holm's method for the number
of arms. What differs by less than 2 % is called the same: that much a process gains or loses by how
it lies in memory. The exit code is 3 if an arm became dearer beyond the noise by more than
``--above`` per cent, and 4 if it could not be measured.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.arms import NotWhatItClaimsError
from bench.gate.circumstances import circumstances
from bench.gate.duel import Bout, Pairs, fought
from bench.gate.statistics import CONFIDENCE, holm, median_interval, sign_test
from bench.gate.trees import NoTreeError, Tree, checked_out
from bench.gate.verdict import Exit, discard, publish
from bench.load import CallsFailedError

FORMAT: Final = "shop-compare/1"
_LEAST: Final = 0.02


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one arm; times are medians in microseconds of CPU per call.

    ``likelihood`` is that of such a difference by chance, corrected for the number of arms.
    """

    arm: str
    base_us: float
    head_us: float
    ratio: float
    low: float
    high: float
    likelihood: float

    @property
    def real(self) -> bool:
        """Whether it differs beyond the noise."""
        outside = not self.low <= 1 <= self.high
        return outside and self.likelihood < 1 - CONFIDENCE and abs(self.ratio - 1) > _LEAST

    def dearer(self, above: float) -> bool:
        """Whether it became dearer beyond the noise, by more than this part."""
        return self.real and self.ratio > 1 + above

    @property
    def words(self) -> str:
        """What is to be said."""
        if not self.real:
            return "same"
        return f"{abs(self.ratio - 1):.0%} {'dearer' if self.ratio > 1 else 'cheaper'}"


def changes(pairs: Pairs) -> list[Change]:
    """Return what became of each arm."""
    ratios = {arm: pairs.ratios(arm) for arm in pairs.base}
    likelihoods = holm([sign_test(values) for values in ratios.values()])
    found = []
    for (arm, values), likelihood in zip(ratios.items(), likelihoods, strict=True):
        interval = median_interval(values)
        found.append(
            Change(
                arm,
                median(pairs.base[arm]),
                median(pairs.head[arm]),
                interval.middle,
                interval.low,
                interval.high,
                likelihood,
            )
        )
    return found


def table(found: Sequence[Change], base: str, above: float) -> str:
    """Return the changes as Markdown."""
    lines = [
        f"| arm | {base} | this code | ratio | {CONFIDENCE:.0%} interval | by chance | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for change in found:
        said = f"**{change.words}**" if change.dearer(above) else change.words
        lines.append(
            f"| {change.arm} | {change.base_us:.1f} us | {change.head_us:.1f} us "
            f"| {change.ratio:.3f} | {change.low:.3f} to {change.high:.3f} "
            f"| {change.likelihood:.2g} | {said} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Compare, say what changed, and return the exit code."""
    given = _parser().parse_args(argv)
    discard(given.out)
    bout = Bout(**{field.name: getattr(given, field.name) for field in fields(Bout)})
    try:
        with checked_out(given.base) as base:
            found = changes(fought(base, Tree("this code"), bout))
    except (NoTreeError, NotWhatItClaimsError, CallsFailedError) as error:
        sys.stderr.write(f"\nnot compared: {error}\n")
        return Exit.NOT_MEASURED
    above = given.above / 100
    red = [change.arm for change in found if change.dearer(above)]
    rounds = bout.starts * bout.rounds
    summary = (
        f"### Compared with {given.base}: {'red' if red else 'passed'}\n\n"
        f"Server CPU per call, {rounds} paired rounds over {bout.starts} starts; red is what "
        f"became dearer by more than {given.above:g} %.\n\n{table(found, given.base, above)}\n"
    )
    publish(given.out, _content(found, red, given.base), summary)
    sys.stdout.write(summary)
    return Exit.RED if red else Exit.PASSED


def _content(found: Sequence[Change], red: Sequence[str], base: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "verdict": "red" if red else "passed",
        "base": base,
        "red": red,
        "arms": [asdict(change) | {"verdict": change.words} for change in found],
        **circumstances(),
    }


def _parser() -> argparse.ArgumentParser:
    usual = Bout()
    parser = argparse.ArgumentParser(
        prog="python -m bench compare",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("base", help="a commit, branch or tag")
    add("--above", type=float, default=5.0, help="per cent")
    add("--out", type=Path, default=Path("out/compare"))
    add("--starts", type=int, default=usual.starts, help="of all processes")
    add("--rounds", type=int, default=usual.rounds, help="per start")
    add("--calls", type=int, default=usual.calls, help="per arm and round")
    add("--callers", type=int, default=usual.callers, help="at a time, a multiple of 4")
    add("--products", type=int, default=usual.products, help="how many there are")
    add("--users", type=int, default=usual.users, help="how many there are, of 20 orders each")
    return parser
