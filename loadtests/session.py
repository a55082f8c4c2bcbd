"""One generating process's part in a run: what its users share."""

import time

from locust.exception import StopUser

from loadtests.arrivals import Arrivals
from loadtests.channel import Channels
from loadtests.goods import Goods, Stubs, load_goods
from loadtests.pacer import Pacer
from loadtests.plan import Plan
from loadtests.recorder import Recorder


class Session:
    """What the users of a process share: the plan, the goods, the schedule and the recorder.

    ``worker`` numbers the processes from 0, so that each draws other keys from the same seed.
    """

    def __init__(self, plan: Plan, worker: int, recorder: Recorder) -> None:
        self.plan = plan
        self.recorder = recorder
        self.goods = _goods(plan)
        self._worker = worker
        self._users = 0
        self._arrivals: Arrivals | None = None
        self._pacer = Pacer()
        self._end = 0.0
        if plan.rate_per_s is not None:
            self._arrivals = Arrivals(plan.rate_per_s, f"{plan.seed}/{worker}")

    def next_user(self) -> tuple[int, str]:
        """Return the number of another user, and the seed of what it draws."""
        number = self._users
        self._users += 1
        return number, f"{self.plan.seed}/{self._worker}/{number}"

    def set_rate(self, per_s: float) -> None:
        """Change how many calls this process starts in a second."""
        if self._arrivals is not None:
            self._arrivals.set_rate(per_s)

    def wait_for_turn(self) -> float | None:
        """Wait until the next scheduled call is due and return when that was.

        In the closed model it is None, at once. Whoever waits when the run stops is stopped.
        """
        if self._arrivals is None:
            return None
        taken = time.perf_counter()
        due = self._arrivals.take(taken)
        if not self._pacer.wait_until(due):
            raise StopUser
        delay = time.perf_counter() - due
        self.recorder.started(time.time(), delay, unattended=due < taken)
        return due

    def end(self) -> None:
        """Take this moment for the end of the schedule."""
        self._end = time.perf_counter()

    def stop(self) -> None:
        """Let nobody wait any longer."""
        self._pacer.close()

    def finish(self) -> None:
        """Count what was due by the end and, now that all users have stopped, never starts."""
        if self._arrivals is not None:
            self.recorder.skipped(self._arrivals.skip(self._end))


def _goods(plan: Plan) -> Goods:
    channels = Channels()
    # The customers' tokens are renewed on these channels, which stay open with them.
    return load_goods(Stubs.over(channels.to, plan.targets), plan)
