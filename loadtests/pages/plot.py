"""What charts have in common: frame, grid, lines and legend."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from loadtests.pages.markup import element, text
from loadtests.pages.scales import Scale

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """A rectangle of a chart with an axis to the right and one upwards."""

    x: Scale
    y: Scale

    def grid(
        self, ticks: Sequence[float], name: Callable[[float], str], title: str = ""
    ) -> Iterable[str]:
        """Give a line across for each value of the upward axis, its name, and the axis' title."""
        for tick in ticks:
            at = self.y.at(tick)
            yield element("path", class_="grid", d=f"M{self.x.start:g} {at:.1f}H{self.x.end:g}")
            yield label(name(tick), self.x.start - 8, at + 4, anchor="end")
        if title:
            yield label(title, 4, self.y.end - 12, class_="title")

    def base(
        self, ticks: Sequence[float], name: Callable[[float], str], title: str
    ) -> Iterable[str]:
        """Give the line at the bottom, a mark and a name for each value, and the axis' title."""
        bottom = self.y.start
        yield element("path", class_="axis", d=f"M{self.x.start:g} {bottom:g}H{self.x.end:g}")
        for tick in ticks:
            at = self.x.at(tick)
            yield element("path", class_="axis", d=f"M{at:.1f} {bottom:g}v5")
            yield label(name(tick), at, bottom + 20, anchor="middle")
        middle = (self.x.start + self.x.end) / 2
        yield label(title, middle, bottom + 40, anchor="middle", class_="title")


def label(
    words: str, x: float, y: float, *, anchor: str | None = None, class_: str | None = None
) -> str:
    """Return words at a place."""
    return element("text", text(words), x=float(x), y=float(y), text_anchor=anchor, class_=class_)


def line(points: Iterable[Point | None], *, class_: str) -> str:
    """Return a line through points, with a gap for each that is None."""
    drawn, joined = [], False
    for point in points:
        if point is not None:
            drawn.append(f"{'L' if joined else 'M'}{point[0]:.1f} {point[1]:.1f}")
        joined = point is not None
    return element("path", class_=class_, d="".join(drawn)) if drawn else ""


def chart(
    content: Iterable[str], *, identity: str, size: tuple[int, int], title: str, description: str
) -> str:
    """Return a chart that says in words what it shows."""
    names = (f"{identity}-title", f"{identity}-text")
    return element(
        "svg",
        element("title", text(title), id=names[0])
        + element("desc", text(description), id=names[1])
        + "".join(content),
        viewBox=f"0 0 {size[0]} {size[1]}",
        role="img",
        aria_labelledby=" ".join(names),
    )


def spread(wanted: Sequence[float], apart: float, lowest: float) -> list[float]:
    """Return places for labels near those wanted, none closer than ``apart``, none below."""
    order = sorted(range(len(wanted)), key=lambda each: wanted[each], reverse=True)
    places, free = list(wanted), lowest
    for each in order:
        places[each] = min(wanted[each], free)
        free = places[each] - apart
    return places


def arm_class(arm: str) -> str:
    """Return the class that gives an arm its colour."""
    return arm if arm in {"near", "redis", "mongo"} else "plain"
