"""When not to ask Redis at all (M. Nygard, *Release It!*, 2007: Circuit Breaker)."""

from collections.abc import Callable
from enum import Enum
from time import monotonic
from typing import Final

FAILURES: Final = 3
TIMEOUT_WEIGHT: Final = 2
SETTLE_S: Final = 1.0


class BreakerState(Enum):
    """How Redis is used."""

    CLOSED = "closed"
    """As it should be."""

    SETTLING = "settling"
    """It answers again: it is told of writes, but not yet asked, so that every process can tell it
    what it missed."""

    OPEN = "open"
    """Only probed."""


class Breaker:
    """Opens after three failures in a row, or two timeouts, which cost more.

    Once ``recovered`` is called it settles, for ``settle_s``, and closes; a failure opens it again.
    ``on_open`` is called whenever it opens.
    """

    def __init__(
        self,
        settle_s: float = SETTLE_S,
        clock: Callable[[], float] = monotonic,
        on_open: Callable[[], object] = lambda: None,
    ) -> None:
        self._settle_s = settle_s
        self._clock = clock
        self._on_open = on_open
        self._weight = 0
        self._state = BreakerState.CLOSED
        self._settled_at = 0.0
        self.opened = 0

    @property
    def state(self) -> BreakerState:
        """The state at this moment."""
        if self._state is BreakerState.SETTLING and self._clock() >= self._settled_at:
            self._state = BreakerState.CLOSED
        return self._state

    @property
    def closed(self) -> bool:
        """Whether Redis may be asked."""
        return self._state is BreakerState.CLOSED or self.state is BreakerState.CLOSED

    def succeeded(self) -> None:
        """Note that Redis answered."""
        self._weight = 0

    def failed(self, *, timed_out: bool) -> None:
        """Note that Redis did not answer, or refused."""
        self._weight += TIMEOUT_WEIGHT if timed_out else 1
        if self._weight >= FAILURES or self.state is BreakerState.SETTLING:
            self.open()

    def open(self) -> None:
        """Ask Redis no more."""
        if self._state is not BreakerState.OPEN:
            self._state = BreakerState.OPEN
            self.opened += 1
            self._on_open()

    def recovered(self) -> None:
        """Note that Redis answers again, and has been told all that it missed."""
        if self._state is BreakerState.OPEN:
            self._weight = 0
            self._state = BreakerState.SETTLING
            self._settled_at = self._clock() + self._settle_s


class WriteOnlyBreaker(Breaker):
    """Lets nobody ask Redis. It is told of writes as ever."""

    @property
    def closed(self) -> bool:
        """Whether Redis may be asked: never."""
        return False
