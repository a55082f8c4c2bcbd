"""The page: one file, with all that it needs in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from loadtests.pages.calls import by_method, calls_table, sources_table
from loadtests.pages.cards import cards
from loadtests.pages.checks import schedule_list, stock_list
from loadtests.pages.costs import cpu_table, server_table
from loadtests.pages.curves import curve_chart, readable_curves
from loadtests.pages.hover import hoverable
from loadtests.pages.markup import datum, element, text
from loadtests.pages.plot import arm_class
from loadtests.pages.repeat import run_lists
from loadtests.pages.timelines import (
    Arms,
    readable_timeline,
    readable_users,
    timeline_chart,
    users_chart,
    users_vary,
)
from loadtests.pages.verdicts import comparisons_table, thresholds_table
from loadtests.pages.words import arm_name, rate, share, whole
from loadtests.results import Moment, Report

_HERE: Final = Path(__file__).parent
# The page may use what is in it, and ask nobody for anything.
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
)


def page(report: Report) -> str:
    """Return the page of a report as HTML."""
    head = "".join(_head(report))
    body = _header(report) + element("main", "".join(_main(report)))
    script = element("script", (_HERE / "page.js").read_text())
    return "<!doctype html>\n" + element(
        "html", element("head", head) + element("body", body + script), lang="en"
    )


def _head(report: Report) -> Iterator[str]:
    yield element("meta", charset="utf-8")
    yield element("meta", name="viewport", content="width=device-width, initial-scale=1")
    yield element("meta", name="color-scheme", content="light dark")
    yield element("meta", http_equiv="Content-Security-Policy", content=_POLICY)
    # Without it a browser asks the server for an icon.
    yield element("link", rel="icon", href="data:,")
    yield element("title", text(f"Load: {report.run.scenario}, {report.run.started}"))
    yield element("style", (_HERE / "style.css").read_text())


def _header(report: Report) -> str:
    run = report.run
    calls = sum(sample.count for sample in report.samples)
    errors = sum(sum(sample.errors.values()) for sample in report.samples)
    facts = [
        f"{whole(calls)} calls in {run.duration_s:g} s",
        f"{rate(sum(sample.rate_per_s for sample in report.samples))} per second",
        f"{whole(errors)} failed" + (f" ({share(errors, calls)})" if errors else ""),
        f"{whole(run.users)} users, {run.model} model, {run.shape}{_meant(report)}",
        run.started,
    ]
    title = "Cached against uncached" if report.comparisons else facts[0]
    inner = [
        element("p", text(f"Load run: {run.scenario}"), class_="eyebrow"),
        element("h1", text(title)),
        element("ul", "".join(element("li", text(fact)) for fact in facts), class_="facts"),
        _pill(report),
        _notes(report),
    ]
    return element("header", "".join(inner))


def _meant(report: Report) -> str:
    meant = report.run.rate_per_s
    return "" if meant is None else f", {rate(meant)} per second meant"


def _pill(report: Report) -> str:
    if not report.thresholds:
        return ""
    broken = sum(not threshold.passed for threshold in report.thresholds)
    total = len(report.thresholds)
    if broken:
        return element("p", f"✗ {broken} of {total} limits not held", class_="pill bad")
    return element("p", f"✓ all {total} limits held", class_="pill good")


def _notes(report: Report) -> str:
    notes = [
        element("li", datum(f"notes.{place}", note, note))
        for place, note in enumerate(report.notes)
    ]
    return element("ul", "".join(notes), class_="notes") if notes else ""


def _main(report: Report) -> Iterator[str]:
    if report.comparisons:
        yield cards(report)
    if report.thresholds:
        yield _section("Limits", "What the run had to keep.", thresholds_table(report))
    yield _section("Calls", _CALLS, calls_table(report))
    yield _section("Percentiles", _PERCENTILES, _legend(report) + _curves(report))
    if report.timeline:
        yield _section("Over time", _TIME, _legend(report) + _timelines(report))
    if report.schedule:
        yield _section("Schedule", _SCHEDULE, schedule_list(report.schedule))
    if sources := sources_table(report):
        yield _section("Where answers came from", _SOURCES, sources)
    if report.comparisons:
        yield _section("Ratios", _RATIOS, comparisons_table(report))
    yield _section("Server and client", _SERVER, server_table(report))
    if report.processes:
        yield _section("CPU", _CPU, cpu_table(report))
    if report.stock:
        yield _section("Stock", _STOCK, stock_list(report.stock))
    yield _section("Repeat it", "On the same commit and machine.", _repeat(report))
    yield _section("What this page does not show", "", _limits(report))


def _section(title: str, words: str, content: str) -> str:
    said = element("p", text(words), class_="said") if words else ""
    return element("section", element("h2", text(title)) + said + content)


def _legend(report: Report) -> str:
    arms = dict.fromkeys(sample.arm for sample in report.samples)
    items = [
        element("li", element("i", class_=f"swatch {arm_class(arm)}") + text(arm_name(arm)))
        for arm in arms
    ]
    return element("ul", "".join(items), class_="legend", aria_label="Colours")


def _curves(report: Report) -> str:
    figures = []
    for number, placed in enumerate(by_method(report.samples).values()):
        samples = [sample for _, sample in placed]
        if any(sample.count for sample in samples):
            chart = curve_chart(samples, f"curve{number}")
            figures.append(_figure(samples[0].method, hoverable(chart, readable_curves(samples))))
    return element("div", "".join(figures), class_="figures")


def _timelines(report: Report) -> str:
    methods: dict[str, dict[str, list[Moment]]] = {}
    for moment in report.timeline:
        methods.setdefault(moment.method, {}).setdefault(moment.arm, []).append(moment)
    figures = [
        _timeline(method, arms, f"timeline{number}")
        for number, (method, arms) in enumerate(methods.items())
    ]
    if users_vary(report.timeline):
        chart = hoverable(users_chart(report.timeline), readable_users(report.timeline))
        figures.append(_figure("Users", chart))
    return element("div", "".join(figures), class_="figures")


def _timeline(method: str, arms: Arms, identity: str) -> str:
    chart = timeline_chart(method, arms, identity)
    return _figure(method, hoverable(chart, readable_timeline(arms)))


def _figure(title: str, content: str) -> str:
    return element("figure", element("figcaption", text(title)) + content)


def _repeat(report: Report) -> str:
    command = element("code", datum("run.command", report.run.command, report.run.command))
    lists = [
        element("div", element("h3", text(name)) + entries) for name, entries in run_lists(report)
    ]
    line = element("pre", command, tabindex=0, role="region", aria_label="Command")
    return line + element("div", "".join(lists), class_="lists")


def _limits(report: Report) -> str:
    items = [_LOOPBACK, _SHARED]
    items.append(_OPEN if report.run.model == "open" else _CLOSED)
    items += [_SEEDED, _SHORT]
    return element("ul", "".join(element("li", text(item)) for item in items), class_="limits")


_CALLS: Final = (
    "Latencies count from when a call was meant to start, and include failed calls. The arms ask "
    "for the same keys: through the near cache (nothing special asked for), from Redis alone "
    "(no-near), from MongoDB (no-cache). The server's mean is of the method, all arms together."
)
_PERCENTILES: Final = (
    "How slow the slowest calls are: each further nine of the lower axis is a call ten times as "
    "rare. Both axes are logarithmic, so that equal distances are equal ratios."
)
_TIME: Final = (
    "Each point is one second. A p99 of a second with few calls is little more than its slowest "
    "call. Red marks at the foot are seconds with failed calls."
)
_SCHEDULE: Final = (
    "How the open model's arrivals were kept. Late calls began more than 10 ms after their moment: "
    "the unattended ones because all users were busy, the others because the load generator was."
)
_STOCK: Final = (
    "Whether what is left of each product is what was there without what was sold. With checkouts "
    "whose outcome nobody knows it proves nothing."
)
_SOURCES: Final = "What the answers said in x-cache; the shares are of those that said it."
_RATIOS: Final = (
    "MongoDB's median over that of the arm, with its bootstrap interval. It says what this run's "
    "calls can tell, and nothing of how another run would differ."
)
_SERVER: Final = (
    "The client's mean, all arms together, and the server's own, from its metrics. What lies "
    "outside the server is the network, the queue before it and the load generator itself."
)
_CPU: Final = (
    "CPU time used while measured, over the requests that the process answered; for a store, over "
    "all of the run. Take the ratios: the absolute times are this machine's."
)
_LOOPBACK: Final = (
    "No network: generator, services and stores speak over loopback, where a round trip costs "
    "some ten microseconds. In a data centre each adds the network's, and a cached answer, which "
    "saves round trips, gains more."
)
_SHARED: Final = (
    "No room to itself: the load generator shares the machine with what it measures. Its own CPU "
    "stands in the table above; where it is high, the slowest calls are partly its doing."
)
_CLOSED: Final = (
    "Queueing is hidden: in the closed model a user waits for an answer before asking again, so "
    "that a slow server is asked less. How it does at a given rate, the open model shows."
)
_OPEN: Final = (
    "Arrivals are scheduled and latency counts from the intended start, so queueing is in the "
    "figures; but above what the machine sustains they grow with the run's length, and are then "
    "not those of a service at rest."
)
_SEEDED: Final = (
    "Not your data: keys are drawn by a Zipf law from a seeded catalogue, and hit rates depend on "
    "both. Look at the shares by source before taking a ratio over."
)
_SHORT: Final = (
    "No long run: compaction, memory growth, expiring values beyond a few minutes and the "
    "neighbours of another hour are not in it."
)
