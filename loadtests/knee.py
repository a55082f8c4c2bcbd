"""Watching for the step at which more load brings no more."""

from collections import Counter
from typing import Final

from loadtests.ledger import Ledger, quantile_ms
from loadtests.shapes import Step, knee

_REPORTED_AFTER_S: Final = 4.0  # workers report every 3 s
_SETTLES_IN_S: Final = 1


class Knee:
    """Judges each step of a load when it is over and reported; its first second does not count."""

    def __init__(self, step_s: int, bound_ms: float, begin: int) -> None:
        self._step_s = step_s
        self._bound_ms = bound_ms
        self._begin = begin
        self._judged = 0
        self._before: Step | None = None

    def passed(self, ledger: Ledger, now: float) -> str:
        """Say where the knee is once it was passed, else nothing."""
        end = self._begin + (self._judged + 1) * self._step_s
        if now < end + _REPORTED_AFTER_S:
            return ""
        self._judged += 1
        first = end - self._step_s + min(_SETTLES_IN_S, self._step_s - 1)
        step = _step(self._judged, ledger.between(first, end), end - first)
        why = knee(self._before, step, self._bound_ms)
        before, self._before = self._before, step
        if not why:
            return ""
        if before is None:
            return f"The knee lies below the first step: {why}."
        return (
            f"The knee: step {self._judged - 1} served {before.rate_per_s:,.0f} calls/s with a p99 "
            f"of {before.p99_ms:.2f} ms; in step {self._judged} {why}."
        )


def _step(number: int, latencies: Counter[int], seconds: int) -> Step:
    p99 = quantile_ms(latencies, 0.99)
    return Step(float(number), latencies.total() / seconds, float("inf") if p99 is None else p99)
