"""What a run has found, before all else: a card for each lookup, with its medians side by side."""

from collections.abc import Iterator, Sequence

from loadtests.pages.markup import datum, element, text
from loadtests.pages.plot import arm_class
from loadtests.pages.words import arm_name, capital, finding, headline, milliseconds, times
from loadtests.results import Comparison, Report, Sample

Placed = tuple[int, Comparison]


def cards(report: Report) -> str:
    """Return a card for each method whose arms were compared, or nothing."""
    methods: dict[str, list[Placed]] = {}
    for place, comparison in enumerate(report.comparisons):
        methods.setdefault(comparison.method, []).append((place, comparison))
    found = [_card(report, compared) for compared in methods.values()]
    return element("section", "".join(found), class_="cards", aria_label="Findings")


def _card(report: Report, compared: Sequence[Placed]) -> str:
    place, first = compared[0]
    ratio = datum(f"comparisons.{place}.speedup", first.speedup, times(first.speedup))
    big = element("p", f"{ratio}{element('span', '&times;')}", class_="big", aria_hidden="true")
    rest = [element("p", text(capital(finding(each)))) for _, each in compared[1:]]
    title = element("h2", text(headline(first)))
    method = element("p", text(first.method), class_="eyebrow")
    return element("article", method + big + title + "".join(rest) + _bars(report, compared))


def _bars(report: Report, compared: Sequence[Placed]) -> str:
    first = compared[0][1]
    arms = [*(each.arm for _, each in compared), first.base]
    rows = list(_medians(report.samples, first.method, arms))
    longest = max((sample.latency_ms.p50 for _, sample in rows), default=0.0)
    shown = [_bar(place, sample, longest) for place, sample in rows]
    return element("dl", "".join(shown), class_="medians")


def _medians(
    samples: Sequence[Sample], method: str, arms: Sequence[str]
) -> Iterator[tuple[int, Sample]]:
    for arm in arms:
        for place, sample in enumerate(samples):
            if (sample.method, sample.arm) == (method, arm):
                yield place, sample


def _bar(place: int, sample: Sample, longest: float) -> str:
    median = sample.latency_ms.p50
    width = 100 * median / longest if longest else 0
    value = datum(f"samples.{place}.latency_ms.p50", median, milliseconds(median))
    strip = element("i", class_=arm_class(sample.arm), style=f"width:{width:.1f}%")
    return element(
        "div",
        element("dt", text(arm_name(sample.arm)))
        + element("dd", element("span", strip, class_="bar") + f"<b>{value} ms</b>"),
    )
