"""What the services say of themselves in their Prometheus figures."""

import re
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

_WITHIN_S: Final = 5.0
_LINE: Final = re.compile(r"^(?P<name>[a-zA-Z_:]\w*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_OWN: Final = "shop."


@dataclass(frozen=True, slots=True)
class Figures:
    """The counters of one service at one moment; workers are added up.

    ``seconds`` and ``counts`` are what its handlers took and how many calls they ended, by method.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, float] = field(default_factory=dict)
    cpu_s: float = 0.0

    def since(self, before: "Figures") -> "Figures":
        """Return what was added after an earlier moment."""
        return Figures(
            {name: value - before.seconds.get(name, 0.0) for name, value in self.seconds.items()},
            {name: value - before.counts.get(name, 0.0) for name, value in self.counts.items()},
            self.cpu_s - before.cpu_s,
        )

    @property
    def requests(self) -> int:
        """How many calls of the service's own methods were ended."""
        return round(sum(self.counts.values()))

    def mean_ms(self, method: str) -> float | None:
        """Return how long the handlers of a method took on average."""
        count = self.counts.get(method, 0.0)
        return self.seconds[method] / count * 1_000 if count else None


def read_figures(url: str) -> Figures:
    """Return the figures at a metrics address. Raises ``OSError`` when it cannot be read."""
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with directly.open(url, timeout=_WITHIN_S) as answer:
        return parsed(answer.read().decode())


def parsed(text: str) -> Figures:
    """Return the figures within Prometheus text."""
    seconds: dict[str, float] = {}
    counts: dict[str, float] = {}
    cpu_s = 0.0
    for name, labels, value in _samples(text):
        method = labels.get("grpc_method", "")
        own = labels.get("grpc_service", "").startswith(_OWN)
        if name == "grpc_server_handling_seconds_sum" and own:
            seconds[method] = seconds.get(method, 0.0) + value
        elif name == "grpc_server_handling_seconds_count" and own:
            counts[method] = counts.get(method, 0.0) + value
        elif name == "process_cpu_seconds_total":
            cpu_s += value
    return Figures(seconds, counts, cpu_s)


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for line in text.splitlines():
        found = _LINE.match(line)
        if found:
            labels = dict(_LABEL.findall(found["labels"] or ""))
            yield found["name"], labels, float(found["value"])
