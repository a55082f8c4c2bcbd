"""The ratios of CPU time, measured until all are decided or the rounds are over."""

import asyncio
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from bench.gate.compare import Change, changes
from bench.gate.duel import Bout, fought
from bench.gate.limits import Limits, RatioLimit, UnusableLimitsError
from bench.gate.race import Pace, Times, measured_together, raced
from bench.gate.trees import NoTreeError, Tree, checked_out
from bench.gate.verdict import Check, Verdict, ratio_check

_HEADROOM: Final = 1.07
_ABOVE: Final = 0.04
_MACHINES_DIFFER_BY: Final = 1.5


@dataclass(frozen=True, slots=True)
class Measured:
    """The checks of the ratios and what they are made of."""

    checks: Sequence[Check]
    times: Times

    @property
    def red(self) -> list[Check]:
        """The checks that found a regression."""
        return [check for check in self.checks if check.verdict is Verdict.RED]

    @property
    def beyond(self) -> list[Check]:
        """The checks whose median lies beyond the limit, whether or not its interval does."""
        return [check for check in self.checks if check.beyond]


def measure_ratios(limits: Sequence[RatioLimit], pace: Pace) -> Measured:
    """Measure until each ratio lies on one side of its limit with certainty, within the pace.

    Raises ``UnusableLimitsError`` for a limit on what is not measured, ``NotWhatItClaimsError``
    and ``CallsFailedError``.
    """
    for limit in limits:
        if not measured_together(limit.arm, limit.to):
            raise UnusableLimitsError(f"ratios: {limit.name} is not measured")

    def checks(times: Times) -> list[Check]:
        return [ratio_check(limit, times.ratios(limit.arm, limit.to)) for limit in limits]

    def all_decided(times: Times) -> bool:
        return all(check.verdict is not Verdict.UNDECIDED for check in checks(times))

    times = asyncio.run(raced(pace, all_decided))
    return Measured(checks(times), times)


def confirmed(measured: Measured, limits: Limits, bout: Bout) -> Measured:
    """Return the checks; of those beyond the limit, red is only what is so side by side too.

    The arm must be dearer than in the calibrated commit, beyond the noise, or far beyond its limit.
    Where that commit cannot be had, what was red stays so. Raises ``NotWhatItClaimsError`` and
    ``CallsFailedError``.
    """
    if not measured.beyond:
        return measured
    sys.stderr.write(f"beyond the limit: is it more than in {limits.calibrated}?\n")
    try:
        with checked_out(limits.calibrated) as base:
            found = changes(fought(base, Tree.present(), bout))
    except NoTreeError as error:
        checks = [_unconfirmed(check, str(error)) for check in measured.checks]
    else:
        by_name = {limit.name: limit for limit in limits.ratios}
        checks = [weighed(check, by_name[check.name], found) for check in measured.checks]
    return replace(measured, checks=checks)


def dearer(arm: str, found: Collection[Change]) -> list[Change]:
    """Return what became dearer of an arm, or of the arms of a layer."""
    return [
        change
        for change in found
        if change.dearer(_ABOVE) and (change.arm == arm or change.arm.endswith(f" {arm}"))
    ]


def calibrated(limits: Sequence[RatioLimit], runs: Sequence[Times]) -> list[tuple[float, float]]:
    """Return for each ratio a limit, 7 % above the highest median of any run, and the spread.

    The spread is how much higher the highest median is than the lowest.
    """
    found = []
    for limit in limits:
        medians = [median(times.ratios(limit.arm, limit.to)) for times in runs]
        found.append((max(medians) * _HEADROOM, max(medians) / min(medians) - 1))
    return found


def weighed(check: Check, limit: RatioLimit, found: Collection[Change]) -> Check:
    """Return the check as the comparison with the calibrated commit shows it.

    Red is what became dearer, and what lies farther beyond its limit than machines differ.
    """
    if not check.beyond:
        return check
    if check.low is not None and check.low > _MACHINES_DIFFER_BY * limit.at_most:
        return replace(check, verdict=Verdict.RED, detail="more than machines differ")
    worse = dearer(limit.arm, found)
    if not worse:
        return replace(check, verdict=Verdict.ELSEWHERE)
    said = ", ".join(f"{change.arm} {change.words}" for change in worse)
    return replace(check, verdict=Verdict.RED, detail=f"beside the calibrated commit: {said}")


def _unconfirmed(check: Check, why: str) -> Check:
    if check.verdict is not Verdict.RED:
        return check
    return replace(check, detail=f"not measured beside the calibrated commit: {why}")
