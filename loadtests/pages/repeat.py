"""All that is needed to repeat a run."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Final

from loadtests.pages.markup import datum, text
from loadtests.pages.table import list_of
from loadtests.results import Report

_NAMES: Final = {
    "started": "started",
    "scenario": "scenario",
    "model": "model",
    "shape": "shape",
    "users": "users",
    "rate_per_s": "calls meant per second",
    "duration_s": "measured, s",
    "warmup_s": "warming before, s",
    "zipf_exponent": "Zipf exponent of the keys",
    "seed": "seed",
}


def run_lists(report: Report) -> Iterator[tuple[str, str]]:
    """Give what is needed to repeat the run, list by list with its name."""
    run, plain = report.run, {}
    for each in fields(run):
        value = getattr(run, each.name)
        if isinstance(value, dict):
            continue
        if each.name != "command" and value is not None:
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            plain[_NAMES[each.name]] = datum(f"run.{each.name}", value, shown)
    yield "The run", list_of(plain)
    for name, entries in (
        ("Settings", run.settings),
        ("Machine", run.machine),
        ("Versions", run.versions),
    ):
        path = f"run.{name.lower()}"
        told = {text(key): datum(f"{path}.{key}", value, value) for key, value in entries.items()}
        yield name, list_of(told)
