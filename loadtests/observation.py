"""What the shop itself used and did between two moments of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from loadtests.cpu import cpu_by_name
from loadtests.results import Process
from loadtests.server_metrics import Figures, read_figures
from loadtests.shops import SERVICES, Shop

GENERATOR: Final = "load generator"
_STORES: Final = ("mongodb", "redis")
_US_PER_S: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Observation:
    """The shop's counters at one moment, as far as they are known.

    A shop of the run's own is looked up in /proc; another tells its CPU time with its figures.
    """

    figures: Mapping[str, Figures]
    cpu_s: Mapping[str, float]

    @classmethod
    def of(cls, shop: Shop) -> "Observation":
        """Return the counters of this moment. Raises ``OSError`` when they cannot be read."""
        figures = {service: read_figures(url) for service, url in shop.metrics.items()}
        if shop.pid is not None:
            return cls(figures, cpu_by_name(shop.pid))
        return cls(figures, {service: found.cpu_s for service, found in figures.items()})

    def since(self, before: "Observation") -> "Observation":
        """Return what came after an earlier moment."""
        nothing = Figures()
        return Observation(
            {
                service: now.since(before.figures.get(service, nothing))
                for service, now in self.figures.items()
            },
            {name: now - before.cpu_s.get(name, 0.0) for name, now in self.cpu_s.items()},
        )

    def server_ms(self, method: str) -> float | None:
        """Return the mean that the server measured for a method, if it is known."""
        means = (figures.mean_ms(method) for figures in self.figures.values())
        return next((mean for mean in means if mean is not None), None)

    def processes(self, calls: int, generator_cpu_s: float) -> list[Process]:
        """Return who used how much CPU for a run of so many calls."""
        requests = {service: each.requests for service, each in self.figures.items()}
        found = [
            _process(name, self.cpu_s[name], requests.get(name, calls))
            for name in (*SERVICES, *_STORES)
            if name in self.cpu_s
        ]
        return [*found, _process(GENERATOR, generator_cpu_s, calls)]


def _process(name: str, cpu_s: float, requests: int) -> Process:
    return Process(name, cpu_s, requests, cpu_s * _US_PER_S / requests if requests else 0.0)
