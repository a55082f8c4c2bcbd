"""How many calls at once a service can handle well, found out while it runs.

The law is that of TCP Vegas (Brakmo and Peterson, 1995) as Netflix's concurrency-limits uses it
for servers: with L calls in flight that take T where an unhurried one takes T0, about
``L * (1 - T0 / T)`` of them are waiting somewhere. While fewer than alpha wait, the limit grows;
while more than beta do, it shrinks. Here T0 is kept for each method, so that fast and slow
methods may share a limit, T / T0 is the median over a window of calls, and T0 is never taken for
less than what hurts nobody: a queue that passes within that is no overload. So cheap calls may be
served by the hundred, and of dear ones only as many as the server really does side by side.
"""

import math
from typing import Final

WINDOW_CALLS: Final = 16
_BASELINE_RISE: Final = 1.002  # per window: a world that became slower is accepted in minutes
_HURTS_NOBODY_S: Final = 0.1
_SHRINK: Final = 0.5  # at most, per window
_ALPHA: Final = 1.0
_BETA: Final = 3.0


class MethodLatency:
    """The unhurried latency of one method: the least seen, slowly forgotten."""

    __slots__ = ("_unhurried_s",)

    def __init__(self) -> None:
        self._unhurried_s = math.inf

    def ratio(self, elapsed_s: float) -> float:
        """Return how many times as long as an unhurried call this one took, and learn from it."""
        self._unhurried_s = min(self._unhurried_s, elapsed_s)
        return max(1.0, elapsed_s / max(self._unhurried_s, _HURTS_NOBODY_S))

    def forget_a_little(self) -> None:
        """Let the unhurried latency rise a little."""
        self._unhurried_s *= _BASELINE_RISE


class AdaptiveLimit:
    """A limit on calls in flight that follows the latencies it is told."""

    def __init__(self, initial: int, at_least: int, at_most: int) -> None:
        self._value = float(initial)
        self._at_least = at_least
        self._at_most = at_most
        self._methods: list[MethodLatency] = []
        self._ratios: list[float] = []
        self._most_in_flight = 0
        self.value = initial

    def method(self) -> MethodLatency:
        """Return a place to keep the latency of one more method."""
        latency = MethodLatency()
        self._methods.append(latency)
        return latency

    def learn(self, method: MethodLatency, elapsed_s: float, in_flight: int) -> None:
        """Take notice of a call that took ``elapsed_s`` while ``in_flight`` were under way."""
        self._ratios.append(method.ratio(elapsed_s))
        self._most_in_flight = max(self._most_in_flight, in_flight)
        if len(self._ratios) >= WINDOW_CALLS:
            self._adapt()

    def _adapt(self) -> None:
        ratios, in_flight = sorted(self._ratios), self._most_in_flight
        self._ratios, self._most_in_flight = [], 0
        for method in self._methods:
            method.forget_a_little()
        served = in_flight / ratios[len(ratios) // 2]
        waiting = in_flight - served
        step = max(1.0, math.log10(self._value))
        if waiting > _BETA * step:
            wanted = max(served + _ALPHA * step, self._value * _SHRINK)
            self._value = max(self._at_least, min(wanted, self._value))
        elif waiting < _ALPHA * step and in_flight >= self._value / 2:
            self._value = min(self._at_most, self._value + step)
        self.value = int(self._value)
