"""When calls are meant to start in the open model: at random, whether or not others have ended."""

import random
from dataclasses import dataclass
from typing import Final

LATE_S: Final = 0.010
"""How long after its moment a call may start without counting as late."""

_SLOWEST_PER_S: Final = 0.1


class Arrivals:
    """A Poisson process: the gaps between arrivals are exponentially distributed.

    It starts at the first arrival that is taken. One seed makes one schedule, as long as the rate
    stays as it is; another rate holds from the next gap on.
    """

    def __init__(self, rate_per_s: float, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311 (nothing secret)
        self._rate = max(rate_per_s, _SLOWEST_PER_S)
        self._next: float | None = None

    def set_rate(self, per_s: float) -> None:
        """Change how many arrive in a second."""
        self._rate = max(per_s, _SLOWEST_PER_S)

    def take(self, now: float) -> float:
        """Return the moment of the next arrival, on the clock that ``now`` was read from."""
        due = self._next if self._next is not None else now + self._gap()
        self._next = due + self._gap()
        return due

    def skip(self, now: float) -> int:
        """Pass over the arrivals until now that nobody took, and return how many there were."""
        skipped = 0
        while self._next is not None and self._next <= now:
            self._next += self._gap()
            skipped += 1
        return skipped

    def _gap(self) -> float:
        return self._random.expovariate(self._rate)


@dataclass(slots=True)
class Punctuality:
    """How well a generator has kept to its schedule.

    ``late`` started more than ``LATE_S`` after their moment; ``unattended`` of these because all
    users were busy, the others because the generator was. ``worst_s`` is the longest delay.
    """

    started: int = 0
    late: int = 0
    unattended: int = 0
    worst_s: float = 0.0

    def add(self, delay_s: float, *, unattended: bool) -> None:
        """Count a call that started so long after its moment."""
        self.started += 1
        self.worst_s = max(self.worst_s, delay_s)
        if delay_s > LATE_S:
            self.late += 1
            self.unattended += unattended

    def merge(self, other: "Punctuality") -> None:
        """Count what another generator has counted."""
        self.started += other.started
        self.late += other.late
        self.unattended += other.unattended
        self.worst_s = max(self.worst_s, other.worst_s)
