"""One run, from the shop that it needs to what it has found."""

import math
import os
import shlex
import signal
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import gevent
from gevent.event import Event
from locust.argument_parser import get_parser
from locust.env import Environment
from locust.runners import MasterRunner

from loadtests import facts, reporting
from loadtests.cautions import cautions, schedule
from loadtests.channel import Channels
from loadtests.course import Course
from loadtests.engine import Engine
from loadtests.goods import Stubs
from loadtests.knee import Knee
from loadtests.ledger import Window, quantile_ms
from loadtests.observation import Observation
from loadtests.plan import Plan, given_targets, plan_of
from loadtests.ports import LOOPBACK, claimed_ports
from loadtests.prepare import restock
from loadtests.progress import Progress
from loadtests.results import Report, Run, Stock
from loadtests.shapes import shape_of
from loadtests.shops import SERVICES, Shop, UnusableShopError
from loadtests.stack import running_shop
from loadtests.stock import check_stock, stock_of
from loadtests.users import USERS
from loadtests.workers import running_workers

_USERS_WITHIN_S: Final = 60.0
_WORKERS_WITHIN_S: Final = 300.0
_WORKER_LOST_AFTER_S: Final = 10.0
_LAST_CALLS_WITHIN_S: Final = 20.0
_POLL_S: Final = 0.05
_STOCK_MOVES: Final = {"checkout", "mixed"}


class NothingMeasuredError(Exception):
    """The run was cut short before its first measured second."""


class Trial:
    """One run, with all that it starts."""

    def __init__(self, given: Namespace, argv: Sequence[str], progress: Progress) -> None:
        self._given = given
        self._argv = argv
        self._progress = progress
        self._interrupted = Event()
        self._notes: list[str] = []
        self._worker_ended: Callable[[], bool] = lambda: False

    def report(self) -> Report:
        """Run it, and return what it has found."""
        with ExitStack() as opened:
            opened.enter_context(_interruptible(self._interrupted))
            shop = self._shop(opened)
            self._go_on()
            plan = plan_of(self._given, self._given.scenario, self._given.users, shop.targets)
            about = self._about(plan, shop)
            channels = Channels()
            opened.callback(channels.close)
            stubs = Stubs.over(channels.to, shop.targets)
            if shop.admin_password is not None:
                restock(stubs, shop.admin_password)
            environment, engine, course = self._locust(opened, plan)
            self._progress.stage("preparing customers and orders")
            engine.prepare(plan)
            self._go_on()
            before = stock_of(stubs) if plan.scenario in _STOCK_MOVES else None
            self._start(environment, engine)
            observed, duration_s = self._measured(engine, course, shop)
            self._stop(environment, engine)
            stock = None
            if before is not None:
                self._progress.stage("checking the stock")
                ledger = engine.ledger
                stock = check_stock(stubs, before, ledger.sold, ledger.open_orders)
            return self._concluded(about, engine, observed, duration_s, stock)

    def _go_on(self) -> None:
        if self._interrupted.is_set():
            raise NothingMeasuredError

    def _shop(self, opened: ExitStack) -> Shop:
        targets = given_targets(self._given)
        if targets is None:
            self._progress.stage("starting a shop")
            return opened.enter_context(running_shop())
        urls = {service: getattr(self._given, f"{service}_metrics") for service in SERVICES}
        return Shop(targets, {service: url for service, url in urls.items() if url}, {})

    def _about(self, plan: Plan, shop: Shop) -> Run:
        return Run(
            command=self._command(),
            started=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            scenario=plan.scenario,
            model=plan.model,
            shape=self._given.shape,
            users=plan.users,
            rate_per_s=plan.rate_per_s,
            duration_s=float(self._given.duration),
            warmup_s=self._given.warmup,
            zipf_exponent=plan.zipf_exponent,
            seed=plan.seed,
            settings={
                "--think": f"{plan.think_s:g}",
                "--customers": str(plan.customers),
                "--channels": self._given.channels,
                "--processes": str(self._given.processes),
                **facts.settings(shop),
            },
            machine=facts.machine(),
            versions=facts.versions(shop),
        )

    def _command(self) -> str:
        if self._given.master_port is None:
            return f"make load ARGS={shlex.quote(shlex.join(self._argv))}"
        return shlex.join(["python", "-m", "loadtests", "master", *self._argv])

    def _locust(self, opened: ExitStack, plan: Plan) -> tuple[Any, Engine, Course]:
        shape = shape_of(self._given.shape, self._given.duration, self._given.step)
        course = Course(shape, plan, lambda: engine)
        environment = Environment(
            user_classes=[USERS[plan.scenario]],
            shape_class=course,
            stop_timeout=_LAST_CALLS_WITHIN_S,
            parsed_options=get_parser(default_config_files=[]).parse_args([]),
        )
        if self._given.master_port is not None:
            environment.create_master_runner("*", self._given.master_port)
        elif self._given.processes == 1:
            environment.create_local_runner()
        else:
            (port,) = opened.enter_context(claimed_ports(1))
            environment.create_master_runner(LOOPBACK, port)
            self._worker_ended = opened.enter_context(running_workers(self._given.processes, port))
        opened.callback(environment.runner.quit)
        engine = Engine(environment, lambda: plan)
        return environment, engine, course

    def _start(self, environment: Any, engine: Engine) -> None:
        runner = environment.runner
        if isinstance(runner, MasterRunner):
            self._wait_for_workers(runner, engine)
        self._progress.stage("starting users")
        runner.start_shape()
        self._wait(lambda: runner.user_count > 0, engine, "users", _USERS_WITHIN_S)

    def _wait_for_workers(self, runner: Any, engine: Engine) -> None:
        wanted = self._given.processes
        within_s = _USERS_WITHIN_S
        if self._given.master_port is not None:
            self._progress.stage(f"waiting for {wanted} workers")
            within_s = _WORKERS_WITHIN_S
        self._wait(lambda: len(runner.clients.ready) >= wanted, engine, "its workers", within_s)
        if self._given.master_port is not None:
            self._worker_ended = _lost(runner, wanted)

    def _wait(
        self, arrived: Callable[[], bool], engine: Engine, what: str, within_s: float
    ) -> None:
        end = time.monotonic() + within_s
        while not arrived():
            self._check(engine)
            if time.monotonic() > end:
                raise UnusableShopError(f"{what} did not start within {within_s:.0f} s")
            if self._interrupted.wait(0.1):
                raise NothingMeasuredError

    def _check(self, engine: Engine) -> None:
        if engine.failure is not None:
            raise UnusableShopError(engine.failure)
        if self._worker_ended():
            raise UnusableShopError("a process that generates the load has ended")

    def _measured(self, engine: Engine, course: Course, shop: Shop) -> tuple[Observation, float]:
        begin = math.ceil(time.time() + self._given.warmup)
        window = Window(begin, begin + self._given.duration)
        engine.measure(window)
        course.begin = float(begin)
        self._progress.stage(f"warming up for {self._given.warmup:g} s")
        if self._interrupted.wait(max(begin - time.time(), 0.0)):
            raise NothingMeasuredError
        before = Observation.of(shop)
        knee = Knee(self._given.step, self._given.knee_p99_ms, begin)
        self._progress.stage(f"measuring for {self._given.duration} s")
        found = ""
        while not found and time.time() < begin + self._given.duration:
            self._check(engine)
            self._progress.tick(_state(engine, time.time() - begin, self._given.duration))
            if self._interrupted.wait(max(min(1.0, window.end - time.time()), 0.0)):
                break
            if self._given.shape == "step":
                found = knee.passed(engine.ledger, time.time())
        return self._ended(window, before, shop, found)

    def _ended(
        self, window: Window, before: Observation, shop: Shop, knee: str
    ) -> tuple[Observation, float]:
        observed = Observation.of(shop).since(before)
        planned = window.end - window.begin
        window.end = min(window.end, int(time.time()))
        measured = window.end - window.begin
        if measured < 1:
            raise NothingMeasuredError
        if knee:
            self._notes.append(knee)
        elif measured < planned:
            self._notes.append(f"The run was cut short: {measured} of {planned} s were measured.")
        return observed, float(measured)

    def _stop(self, environment: Any, engine: Engine) -> None:
        self._progress.stage("waiting for the last calls")
        runner = environment.runner
        runner.stop()
        if isinstance(runner, MasterRunner):
            with gevent.Timeout(_LAST_CALLS_WITHIN_S, exception=False):
                while runner.worker_count < self._given.processes:
                    gevent.sleep(_POLL_S)
        else:
            engine.collect()
        runner.quit()  # workers send what they have not yet reported

    def _cores(self) -> int:
        """Return how many cores the load generator can use: a process of Python uses one."""
        processes: int = self._given.processes
        if self._given.master_port is not None:  # each worker has a machine of its own
            return processes
        return min(processes, os.cpu_count() or processes)

    def _concluded(
        self,
        about: Run,
        engine: Engine,
        observed: Observation,
        duration_s: float,
        stock: Stock | None,
    ) -> Report:
        self._progress.stage("working out the report")
        ledger = engine.ledger
        samples = reporting.samples(ledger, duration_s, observed)
        calls = sum(sample.count for sample in samples)
        kept = schedule(ledger) if about.model == "open" else None
        processes = observed.processes(calls, ledger.cpu_s)
        return Report(
            run=replace(about, duration_s=duration_s),
            samples=samples,
            comparisons=reporting.comparisons(ledger, about.seed),
            timeline=ledger.timeline(),
            processes=processes,
            notes=[*self._notes, *cautions(kept, processes, duration_s, self._cores())],
            schedule=kept,
            stock=stock,
        )


def _lost(runner: Any, wanted: int) -> Callable[[], bool]:
    """Return what tells whether a worker has been missing for long; a busy one falls silent."""
    complete = time.monotonic()

    def lost() -> bool:
        nonlocal complete
        now = time.monotonic()
        if runner.worker_count >= wanted:
            complete = now
        return now - complete > _WORKER_LOST_AFTER_S

    return lost


@contextmanager
def _interruptible(event: Event) -> Iterator[None]:
    """Make Ctrl-C and SIGTERM set the event instead of ending the process."""
    handlers = [
        gevent.signal_handler(number, event.set) for number in (signal.SIGINT, signal.SIGTERM)
    ]
    try:
        yield
    finally:
        for handler in handlers:
            handler.cancel()


def _state(engine: Engine, elapsed_s: float, duration_s: float) -> str:
    recent = engine.ledger.latest(5)
    p99 = quantile_ms(recent, 0.99)
    shown = "" if p99 is None else f", p99 {p99:.2f} ms"
    return (
        f"{elapsed_s:4.0f} of {duration_s:.0f} s, {engine.users} users, "
        f"{recent.total() / 5:,.0f} calls/s{shown}"
    )
