"""What a chart tells whoever points at it; ``page.js`` shows it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from loadtests.pages.markup import embedded


class Spot(NamedTuple):
    """A value of a line: how far to the right it lies on the chart, of what it is, and itself."""

    x: float
    of: str
    shown: str


Readable = Mapping[str, Sequence[Spot]]
"""The spots of each line by the name of the line, from left to right."""


def hoverable(chart: str, lines: Readable) -> str:
    """Return a chart with the data that the page's script needs."""
    return chart + embedded([[name, [*map(list, spots)]] for name, spots in lines.items() if spots])
