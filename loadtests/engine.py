"""Locust's part: users on one process or on many, whose measurements meet in one ledger."""

import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import gevent
from locust.runners import MasterRunner, WorkerRunner

from loadtests.channel import Channels
from loadtests.goods import Stubs
from loadtests.ledger import Ledger, Window
from loadtests.plan import Plan, Targets
from loadtests.prepare import prepare
from loadtests.recorder import Recorder, unpacked
from loadtests.session import Session
from loadtests.shops import UnusableShopError
from loadtests.users import USERS

_FIELD: Final = "shop_load"
_PLAN: Final = "shop_plan"
_RATE: Final = "shop_rate"
_LOOK_EVERY_S: Final = 0.5
_STOP_AFTER_S: Final = 0.1


class Engine:
    """Ties a Locust environment to the recorder of this process and the ledger of the run.

    In a worker there is no ledger: what it records goes to the master with Locust's reports. The
    plan is made anew by ``plan`` whenever a run begins; workers get the master's.
    """

    def __init__(self, environment: Any, plan: Callable[[], Plan]) -> None:
        self.ledger = Ledger(Window())
        self.failure: str | None = None
        self._environment = environment
        self._runner: Any = environment.runner
        self._plan = plan
        self._recorder = Recorder()
        self._prepared: tuple[Targets, int] | None = None
        self._rate_per_s: float | None = None
        self._share_per_s: float | None = None
        self._level = 1.0
        self._listen(environment.events)

    @property
    def users(self) -> int:
        """How many users there are now, in all processes."""
        return int(self._runner.user_count)

    def prepare(self, plan: Plan) -> None:
        """Make sure that the shop has what the plan needs; told by ``UnusableShopError``."""
        wanted = (plan.targets, plan.customers)
        if self._prepared == wanted:
            return
        channels = Channels()
        try:
            prepare(Stubs.over(channels.to, plan.targets), plan.customers)
        finally:
            channels.close()
        self._prepared = wanted

    def set_level(self, level: float) -> None:
        """Open model: start so many times the plan's rate from now on, all processes together."""
        self._level = level
        if self._rate_per_s is None:
            return
        rate = self._rate_per_s * level
        if isinstance(self._runner, MasterRunner):
            self._runner.send_message(_RATE, rate / max(self._runner.worker_count, 1))
        else:
            self._start_per_s(rate)

    def measure(self, window: Window) -> None:
        """Begin anew with the seconds within the window; what was sold so far stays counted."""
        before, self.ledger = self.ledger, Ledger(window)
        self.ledger.sold = before.sold
        self.ledger.open_orders = before.open_orders

    def collect(self) -> None:
        """Take over what this process has recorded so far."""
        self.ledger.add(unpacked(self._recorder.drain()))

    def _listen(self, events: Any) -> None:
        events.test_start.add_listener(self._on_test_start)
        events.test_stopping.add_listener(self._on_test_stopping)
        events.test_stop.add_listener(self._on_test_stop)
        if isinstance(self._runner, WorkerRunner):
            events.report_to_master.add_listener(self._on_report)
            self._runner.register_message(_RATE, self._on_rate)
            return
        if isinstance(self._runner, MasterRunner):
            events.worker_report.add_listener(self._on_worker_report)
            events.worker_connect.add_listener(self._on_worker_connect)
        gevent.spawn(self._watch_forever)

    def _on_test_start(self, **_: Any) -> None:
        try:
            self._start()
        except UnusableShopError as error:
            self._fail(str(error))
        except Exception as error:
            self._fail(f"the shop cannot be prepared: {error!r}")
            raise

    def _start(self) -> None:
        if isinstance(self._runner, WorkerRunner):
            self._join(_received(self._environment.parsed_options))
            return
        plan = self._plan()
        self.prepare(plan)
        self.ledger = Ledger(Window(int(time.time())))
        self._rate_per_s = plan.rate_per_s
        self._hand_over(plan)
        if not isinstance(self._runner, MasterRunner):
            self._join(plan)
        self.set_level(self._level)

    def _join(self, plan: Plan) -> None:
        worker = max(self._runner.worker_index, 0)
        session = Session(plan, worker, self._recorder)
        if self._share_per_s is not None:
            session.set_rate(self._share_per_s)
        self._environment.shop_session = session

    def _hand_over(self, plan: Plan) -> None:
        # Locust sends its options along with the order to start users.
        options = self._environment.parsed_options
        if options is not None:
            setattr(options, _PLAN, asdict(plan))

    def _fail(self, why: str) -> None:
        self.failure = why
        self._environment.process_exit_code = 2
        gevent.spawn(self._runner.quit)

    def _on_test_stopping(self, **_: Any) -> None:
        session = self._session()
        if session is not None:
            session.end()
            # Only then: Locust complains of users who end before it has asked them to.
            gevent.spawn_later(_STOP_AFTER_S, session.stop)

    def _on_test_stop(self, **_: Any) -> None:
        session = self._session()
        if session is not None:
            session.finish()
        for users in USERS.values():
            users.close_shared_channels()
        if isinstance(self._runner, WorkerRunner):
            # All users have stopped; Locust would wait for them once more before it listens again.
            self._environment.stop_timeout = 0

    def _on_report(self, data: dict[str, Any], **_: Any) -> None:
        data[_FIELD] = self._recorder.drain()

    def _on_worker_report(self, data: dict[str, Any], **_: Any) -> None:
        if _FIELD in data:
            self.ledger.add(unpacked(data[_FIELD]))

    def _on_worker_connect(self, **_: Any) -> None:
        self.set_level(self._level)

    def _on_rate(self, msg: Any, **_: Any) -> None:
        self._start_per_s(msg.data)

    def _start_per_s(self, per_s: float) -> None:
        self._share_per_s = per_s
        session = self._session()
        if session is not None:
            session.set_rate(per_s)

    def _session(self) -> Session | None:
        return getattr(self._environment, "shop_session", None)

    def _watch_forever(self) -> None:
        while True:
            gevent.sleep(_LOOK_EVERY_S)
            if not isinstance(self._runner, MasterRunner):
                self.collect()
            self.ledger.note_users(int(time.time()), self.users)


def _received(options: Namespace) -> Plan:
    fields = dict(getattr(options, _PLAN))
    return Plan(**{**fields, "targets": Targets(**fields["targets"])})
