"""How far the event loop is behind."""

import time
from typing import Final


class LoadGauge:
    """How far the event loop is behind, and whether that has lasted.

    A server that computes more than it waits has few calls in flight and a long queue before
    the loop; its lag tells. As in CoDel (Nichols and Jacobson, RFC 8289), what counts is the
    least lag over an interval: a burst passes, a standing queue does not. One late timer, however
    late, is a pause (of the collector, the process, the machine), after which the loop catches up.
    """

    TARGET_S: Final = 0.1
    INTERVAL_S: Final = 0.2

    def __init__(self) -> None:
        self.lag_s = 0.0
        self.overloaded = False
        self._above_since: float | None = None

    def notice(self, lag_s: float) -> None:
        """Take notice of how late the loop came to a timer."""
        self.lag_s = lag_s
        if lag_s < self.TARGET_S:
            self._above_since = None
            self.overloaded = False
            return
        now = time.monotonic()
        if self._above_since is None:
            self._above_since = now
        self.overloaded = now - self._above_since >= self.INTERVAL_S
