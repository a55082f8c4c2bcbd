"""The groups as benchmarks of pytest-benchmark.

It times what it calls, one benchmark after another, and knows nothing of coroutines. Here a group
is measured in turns, as ``bench.layers.contest`` does; then each member is a benchmark in which
pytest-benchmark reads, in place of a clock, what the rounds have taken. So its statistics and files
are its own, each figure is that of one operation, and ``--benchmark-compare`` works.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from contextvars import copy_context
from statistics import median
from typing import Any, Final

import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture

from bench.arms import NotWhatItClaimsError
from bench.layers.contest import Extent, Figures, Group, held
from bench.layers.setting import Setting
from bench.load import CallsFailedError


class RoundsClock:
    """A clock that moves by what a round has taken per operation, when it is told to."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        """Return the reading, in seconds."""
        return self._now

    def reset(self) -> None:
        """Go back to 0: the differences of large readings would lose digits."""
        self._now = 0.0

    def advance(self, seconds: float) -> None:
        """Move on."""
        self._now += seconds


_CLOCK: Final = RoundsClock()


def report(figures: Figures, member: str, benchmark: Any) -> None:
    """Tell pytest-benchmark what the rounds of a member have taken, per operation."""
    operations = figures.operations
    seconds = iter([measured.seconds / operations for measured in figures.rounds])
    cpu_us = [measured.cpu_s / operations * 1e6 for measured in figures.rounds]
    stores_cpu_us = [measured.stores_cpu_s / operations * 1e6 for measured in figures.rounds]
    benchmark.extra_info.update(
        member=member,
        operations_per_round=operations,
        cpu_us=median(cpu_us),
        cpu_us_by_round=cpu_us,
        stores_cpu_us=median(stores_cpu_us),
    )
    benchmark.pedantic(
        lambda: _CLOCK.advance(next(seconds)), setup=_CLOCK.reset, rounds=len(figures.rounds)
    )


class Layers:
    """Measures groups, each once, on one event loop that lives as long as the session."""

    def __init__(self, extent: Extent) -> None:
        self._extent = extent
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._stack = AsyncExitStack()
        self._setting = Setting(self._stack)
        self._found: dict[str, Mapping[str, Figures]] = {}
        self._failed: dict[str, Exception] = {}

    def figures(self, group: Group, wanted: Sequence[str]) -> Mapping[str, Figures]:
        """Return the figures of a group's wanted members. Raises what measuring them raised."""
        if group.name in self._failed:
            raise self._failed[group.name]
        if group.name not in self._found:
            try:
                # In a context of its own: what a call leaves behind must not reach later groups.
                self._found[group.name] = self._runner.run(
                    held(group, wanted, self._setting, self._extent), context=copy_context()
                )
            except Exception as error:
                self._failed[group.name] = error
                raise
        return self._found[group.name]

    def close(self) -> None:
        """Stop what was started for the groups."""
        try:
            self._runner.run(self._stack.aclose())
        finally:
            self._runner.close()


_LAYERS: Final = pytest.StashKey[Layers]()


class Plugin:
    """What pytest needs to run the benchmarks, and what they have found: ``saved``."""

    def __init__(self, extent: Extent) -> None:
        self._layers = Layers(extent)
        self.saved: Mapping[str, Any] = {}

    def pytest_configure(self, config: pytest.Config) -> None:
        """Let the benchmarks know what measures them."""
        config.stash[_LAYERS] = self._layers

    def pytest_unconfigure(self) -> None:
        """Stop what was started for them."""
        self._layers.close()

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Leave the line to the progress of the measuring."""
        return ("passed", "", "") if report.passed and report.when == "call" else None

    def pytest_benchmark_update_json(self, output_json: Mapping[str, Any]) -> None:
        """Keep what is being saved."""
        self.saved = output_json


def measures(config: pytest.Config) -> bool:
    """Return whether there is a plugin already."""
    return _LAYERS in config.stash


def benchmarks(groups: Sequence[Group]) -> Callable[..., None]:
    """Return the test function that measures these groups; to be called ``test_layer``."""
    by_name = {group.name: group for group in groups}
    cases = [
        pytest.param(group.name, member, id=f"{group.name}: {member}")
        for group in groups
        for member in group.members
    ]

    @pytest.mark.benchmark(timer=_CLOCK)
    @pytest.mark.parametrize(("group", "member"), cases)
    def test_layer(
        group: str, member: str, request: pytest.FixtureRequest, benchmark: BenchmarkFixture
    ) -> None:
        layers = request.config.stash[_LAYERS]
        benchmark.group = group
        try:
            found = layers.figures(by_name[group], _selected(request, group))
        except (NotWhatItClaimsError, CallsFailedError) as error:
            raise pytest.fail.Exception(f"no figures: {error}", pytrace=False) from None
        report(found[member], member, benchmark)

    return test_layer


def _selected(request: pytest.FixtureRequest, group: str) -> list[str]:
    """Return the members of a group that are to be measured in this session."""
    parameters = [
        item.callspec.params
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
    ]
    return [str(chosen["member"]) for chosen in parameters if chosen["group"] == group]
