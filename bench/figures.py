"""The figures that a service gives over HTTP."""

import asyncio
import urllib.request
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

Figures = Counter[tuple[str, ...]]


async def figures_at(port: int, name: str, *labels: str) -> Figures:
    """Return the samples with this name, by these labels."""
    found: Figures = Counter()
    page = await asyncio.to_thread(_read, f"http://127.0.0.1:{port}/metrics")
    # Few of all lines are asked for, and to parse one takes long.
    lines = [line for line in page.splitlines(keepends=True) if line.startswith(name)]
    for family in text_string_to_metric_families("".join(lines)):
        for sample in family.samples:
            if sample.name == name:
                found[tuple(sample.labels[label] for label in labels)] = int(sample.value)
    return found


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as page:  # noqa: S310 (http on loopback)
        text: str = page.read().decode()
        return text
