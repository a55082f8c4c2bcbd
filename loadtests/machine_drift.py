"""Signs that two runs differ because the machine did."""

from collections.abc import Iterator, Sequence
from typing import Final

from loadtests.changes import GENERATOR, Change
from loadtests.results import Run

LOAD_AVERAGE: Final = "load_average_before"
_A_CORE: Final = 1.0  # of load more before one run than before the other


def cautions(before: Run, after: Run, changes: Sequence[Change]) -> list[str]:
    """Return, in sentences, why latencies and CPU times of these runs may not be comparable."""
    return [*_generator(changes), *_busy(before, after)]


def _generator(changes: Sequence[Change]) -> Iterator[str]:
    for change in changes:
        if change.name == f"{GENERATOR} CPU" and change.verdict == "differs":
            yield (
                f"the load generator's own CPU per request changed by {change.change - 1:+.0%}: "
                "unless it is another generator, the machine was slower in one of the runs, and "
                "only the ratios between arms can be compared"
            )


def _busy(before: Run, after: Run) -> Iterator[str]:
    loads = [run.machine.get(LOAD_AVERAGE, "").split() for run in (before, after)]
    try:
        first, second = (float(load[0]) for load in loads if load)
    except ValueError:
        return  # a machine without a load average, or with one of another form
    if abs(first - second) >= _A_CORE:
        yield (
            f"the machine was busier before one of the runs: its load average was {first:g} "
            f"and {second:g}"
        )
