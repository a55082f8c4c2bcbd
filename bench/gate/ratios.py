"""The ratios of CPU time, measured until all are decided or the rounds are over."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.gate.limits import RatioLimit, UnusableLimitsError
from bench.gate.race import Pace, Times, raced
from bench.gate.verdict import Check, Verdict, ratio_check

_HEADROOM = 1.04


@dataclass(frozen=True, slots=True)
class Measured:
    """The checks of the ratios and what they are made of."""

    checks: Sequence[Check]
    times: Times


def measure_ratios(limits: Sequence[RatioLimit], pace: Pace) -> Measured:
    """Measure until each ratio lies on one side of its limit with certainty, within the pace.

    Raises ``UnusableLimitsError`` for a limit on what is not measured, ``NotWhatItClaimsError``
    and ``CallsFailedError``.
    """

    def checks(times: Times) -> list[Check]:
        return [ratio_check(limit, _ratios(times, limit)) for limit in limits]

    def all_decided(times: Times) -> bool:
        return all(check.verdict is not Verdict.UNDECIDED for check in checks(times))

    times = asyncio.run(raced(pace, all_decided))
    return Measured(checks(times), times)


def calibrated(limits: Sequence[RatioLimit], runs: Sequence[Times]) -> list[tuple[float, float]]:
    """Return for each ratio a limit, 4 % above the highest median of any run, and the spread.

    The spread is how much higher the highest median is than the lowest.
    """
    found = []
    for limit in limits:
        medians = [median(_ratios(times, limit)) for times in runs]
        found.append((max(medians) * _HEADROOM, max(medians) / min(medians) - 1))
    return found


def _ratios(times: Times, limit: RatioLimit) -> list[float]:
    try:
        return times.ratios(limit.arm, limit.to)
    except KeyError:
        raise UnusableLimitsError(f"ratios: {limit.name} is not measured") from None
