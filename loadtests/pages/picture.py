"""The percentile charts of the compared methods as one picture, on a ground of its own."""

from collections.abc import Sequence
from typing import Final

from loadtests.pages.calls import by_method
from loadtests.pages.curves import SIZE, curve_panel
from loadtests.pages.markup import element
from loadtests.pages.plot import chart, label
from loadtests.pages.words import brief, headline
from loadtests.results import Report, Sample

_MARGIN, _HEAD, _FOOT = 24, 94, 40
_LINES: Final = 2  # of findings, for which there is room
_MACHINE: Final = {"cpu": "", "cores": " cores", "memory_gib": " GiB"}
_MOST: Final = 2  # side by side; with more, none could be read

_STYLE: Final = """
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;fill:#3d444d}
.ground{fill:#fff;stroke:#d5d9de}
.heading{font-size:18px;font-weight:650;fill:#16191d}
.sub,.title{font-size:13px;fill:#59616b}
.name{fill:#16191d}
.grid{stroke:#e6e8eb;fill:none}
.axis{stroke:#8b939c;fill:none}
.line{fill:none;stroke-width:2.5;stroke-linejoin:round}
.near{--c:#00845f}.redis{--c:#d55e00}.mongo{--c:#0072b2}.plain{--c:#59616b}
.line{stroke:var(--c)}
.dot,.mark{fill:var(--c)}
.mark{stroke:#fff;stroke-width:1.5}
"""


def picture(report: Report) -> str:
    """Return an SVG of the compared methods, or of the busiest if none was compared."""
    shown = _shown(report)
    width = SIZE[0] * len(shown) + 2 * _MARGIN
    height = SIZE[1] + _HEAD + _FOOT
    content = [element("style", _STYLE)]
    content.append(
        element("rect", class_="ground", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=10)
    )
    for number, samples in enumerate(shown):
        left = _MARGIN + number * SIZE[0]
        content.append(element("g", _one(report, samples), transform=f"translate({left} 0)"))
    content.append(label(_run(report), _MARGIN, height - 18, class_="sub"))
    said = [headline(each) for each in report.comparisons]
    drawn = chart(
        content,
        identity="latency",
        size=(width, height),
        title="Latency by percentile",
        description="; ".join(said) or _run(report),
    )
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _shown(report: Report) -> list[list[Sample]]:
    compared = {each.method for each in report.comparisons}
    methods = [[sample for _, sample in placed] for placed in by_method(report.samples).values()]
    methods = [samples for samples in methods if any(sample.count for sample in samples)]
    chosen = [samples for samples in methods if samples[0].method in compared]
    busiest = sorted(methods, key=lambda samples: -sum(each.count for each in samples))
    return (chosen or busiest[:1])[:_MOST]


def _one(report: Report, samples: Sequence[Sample]) -> str:
    method = samples[0].method
    parts = [label(f"{method} {samples[0].lookup}", 4, 36, class_="heading")]
    found = [each for each in report.comparisons if each.method == method]
    for number, comparison in enumerate(found[:_LINES]):
        parts.append(label(brief(comparison), 4, 60 + 20 * number, class_="sub"))
    parts.append(element("g", "".join(curve_panel(samples)), transform=f"translate(0 {_HEAD})"))
    return "".join(parts)


def _run(report: Report) -> str:
    run = report.run
    told = [f"{run.scenario}, {run.users} users, {run.model} model, {run.duration_s:g} s"]
    told += [run.machine[name] + unit for name, unit in _MACHINE.items() if name in run.machine]
    return ", ".join(told)
