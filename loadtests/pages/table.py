"""Tables and lists of the page, each in a box of its own."""

from collections.abc import Iterable, Mapping, Sequence

from loadtests.pages.markup import element, text
from loadtests.pages.plot import arm_class
from loadtests.pages.words import arm_name
from loadtests.results import Sample


def table(caption: str, head: Sequence[str], bodies: Sequence[str], left: int = 0) -> str:
    """Return a table in a box of its own to scroll in; ``left`` columns after the first are text.

    The box can be reached with the keyboard, as it has to be scrolled by somebody.
    """
    cells = [
        element("th", text(name), scope="col", class_="words" if place <= left else None)
        for place, name in enumerate(head)
    ]
    inner = element("caption", text(caption)) + element("thead", element("tr", "".join(cells)))
    return element(
        "div",
        element("table", inner + "".join(bodies)),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def body(sample: Sample, columns: int, rows: Sequence[str]) -> str:
    """Return the rows of a method under its name."""
    lookup = f" {element('code', text(sample.lookup))}" if sample.lookup else ""
    name = element("span", text(sample.method) + lookup)
    title = element("th", name, scope="rowgroup", colspan=columns, class_="method")
    return element("tbody", element("tr", title) + "".join(rows))


def row(name: str, cells: Iterable[str], words: int = 0) -> str:
    """Return a row; the first so many cells after its name are text."""
    told = [
        element("td", cell, class_="words" if place < words else None)
        for place, cell in enumerate(cells)
    ]
    return element("tr", element("th", name, scope="row") + "".join(told))


def arm_label(arm: str) -> str:
    """Return an arm's name with its colour."""
    dot = element("i", class_=f"swatch {arm_class(arm)}")
    return element("span", dot + text(arm_name(arm)), class_="arm")


def list_of(entries: Mapping[str, str]) -> str:
    """Return names and what they stand for; both are markup."""
    return element(
        "dl",
        "".join(
            element("div", element("dt", name) + element("dd", value))
            for name, value in entries.items()
        ),
    )
