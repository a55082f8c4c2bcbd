"""Whether the figures are those of the shop, or of the load generator."""

from collections.abc import Iterator
from typing import Final

from loadtests.ledger import Ledger
from loadtests.observation import GENERATOR
from loadtests.results import Process, Schedule

_BUSY: Final = 0.7
_MUCH_LATE: Final = 0.01


def schedule(ledger: Ledger) -> Schedule:
    """Return how the open model's schedule was kept."""
    kept = ledger.punctuality
    return Schedule(kept.started, kept.late, kept.unattended, ledger.skipped, kept.worst_s * 1_000)


def cautions(
    kept: Schedule | None, processes: list[Process], duration_s: float, cores: int
) -> Iterator[str]:
    """Say what makes the figures those of the load generator rather than of the shop.

    ``cores`` is how many the generator can use at most: one in each of its processes.
    """
    generator = next((process for process in processes if process.name == GENERATOR), None)
    if generator is not None and generator.cpu_s > _BUSY * duration_s * cores:
        used = generator.cpu_s / duration_s
        yield (
            f"The load generator used {used:.2f} of {cores} cores: calls wait for it, and "
            "latencies hold that wait. Ask for less, or use --processes."
        )
    if kept is not None and kept.late + kept.never_started > _MUCH_LATE * max(kept.started, 1):
        yield (
            f"{kept.late:,} of {kept.started:,} scheduled calls started more than 10 ms late, "
            f"{kept.unattended:,} because all users were busy, and {kept.never_started:,} never."
        )
