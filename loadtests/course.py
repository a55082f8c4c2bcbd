"""A load's course as Locust follows it."""

import time
from collections.abc import Callable
from typing import Final

from locust import LoadTestShape

from loadtests.engine import Engine
from loadtests.plan import Plan
from loadtests.shapes import Shape

_MOST_SPAWNED_PER_S: Final = 100


class Course(LoadTestShape):  # type: ignore[misc]
    """Gives Locust the users of each second, and in the open model the engine its rate.

    Until ``begin`` is set the load is that of the first moment: the warm-up.
    """

    def __init__(self, shape: Shape, plan: Plan, engine: Callable[[], Engine]) -> None:
        super().__init__()
        self.begin: float | None = None
        self._shape = shape
        self._plan = plan
        self._engine = engine

    @property
    def level(self) -> float:
        """The load of this moment, in parts of what was asked for."""
        elapsed = 0.0 if self.begin is None else max(time.time() - self.begin, 0.0)
        return self._shape.level(elapsed)

    def tick(self) -> tuple[int, float]:
        """Return how many users there should be, and how many of them to start in a second."""
        users = self._plan.users
        if self._plan.rate_per_s is None:
            users = max(round(users * self.level), 1)
        else:
            self._engine().set_level(self.level)
        return users, float(min(users, _MOST_SPAWNED_PER_S))
