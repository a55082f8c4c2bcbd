"""The course of a load, and where it ends."""

from collections import Counter

import pytest

from loadtests.knee import Knee
from loadtests.ledger import Ledger, Window
from loadtests.recorder import Calls, Delta, Second
from loadtests.shapes import SHAPES, Step, knee, shape_of


def levels(name: str) -> list[float]:
    shape = shape_of(name, duration_s=100, step_s=20)
    return [shape.level(at) for at in (0, 10, 50, 65, 99)]


def test_each_shape_has_its_course() -> None:
    assert {name: levels(name) for name in SHAPES} == {
        "constant": [1, 1, 1, 1, 1],
        "ramp": [0, 0.1, 0.5, 0.65, 0.99],
        "step": [1, 1, 3, 4, 5],
        "spike": [0.25, 0.25, 1, 0.25, 0.25],
    }


@pytest.mark.parametrize(
    ("step", "found"),
    [
        (Step(2, 200, 20), ""),
        (Step(2, 106, 20), ""),
        (Step(2, 104, 20), "hardly more"),
        (Step(2, 200, 51), "exceeds 50 ms"),
    ],
)
def test_the_knee_is_where_more_load_brings_little_or_takes_too_long(
    step: Step, found: str
) -> None:
    said = knee(Step(1, 100, 10), step, bound_ms=50)
    assert said == "" if not found else found in said


def test_a_first_step_has_nothing_to_grow_from() -> None:
    assert knee(None, Step(1, 1, 1), bound_ms=50) == ""


def ledger_of(rates: list[int]) -> Ledger:
    """Return what steps of five seconds have measured, so many calls of 1 ms in each second."""
    ledger = Ledger(Window(100))
    for number, rate in enumerate(rates):
        seconds = range(100 + 5 * number, 105 + 5 * number)
        calls = {("GetProduct", ""): Calls(Counter({1_000: rate}))}
        ledger.add(Delta({second: Second(calls) for second in seconds}))
    return ledger


def test_a_step_is_judged_when_all_processes_have_reported_it() -> None:
    ledger = ledger_of([50, 50])
    watch = Knee(step_s=5, bound_ms=10, begin=100)
    assert watch.passed(ledger, now=108.9) == ""
    assert watch.passed(ledger, now=109.0) == ""  # the first step: nothing to compare with
    assert watch.passed(ledger, now=113.9) == ""
    assert "step 1 served 50 calls/s with a p99 of 1.00 ms" in watch.passed(ledger, now=114.0)


def test_steps_that_bring_more_go_on() -> None:
    ledger = ledger_of([50, 100, 150])
    watch = Knee(step_s=5, bound_ms=10, begin=100)
    assert [watch.passed(ledger, now) for now in (109.0, 114.0, 119.0)] == ["", "", ""]


def test_a_step_without_an_answer_is_beyond_the_knee() -> None:
    assert "below the first step" in Knee(5, 10, 100).passed(ledger_of([]), now=109)
