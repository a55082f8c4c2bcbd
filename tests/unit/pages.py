"""Pages of figures, as Prometheus reads them."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


class Page:
    """The samples of a page by name and labels."""

    def __init__(self, text: str) -> None:
        self.samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def value(self, name: str, **labels: str) -> float:
        (found,) = (s.value for s in self.samples if s.name == name and s.labels == labels)
        return found

    def by(self, label: str, name: str) -> dict[str, float]:
        """The values under a name by one of their labels."""
        return {s.labels[label]: s.value for s in self.samples if s.name == name}


def text_of(*collectors: Collector) -> str:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry).decode()


def page_of(*collectors: Collector) -> Page:
    return Page(text_of(*collectors))
