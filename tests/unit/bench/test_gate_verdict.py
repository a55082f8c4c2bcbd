"""What is red, what is not, and how it is told."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from bench.gate.budgets import read_results
from bench.gate.compare import Change, changes
from bench.gate.duel import Pairs
from bench.gate.limits import RatioLimit
from bench.gate.mutations import red_checks, slower_by
from bench.gate.race import Times
from bench.gate.ratios import calibrated, dearer
from bench.gate.statistics import Interval
from bench.gate.verdict import Check, Ruling, Verdict, judged, ratio_check, summary

LIMIT = RatioLimit("GetProduct near", "echo", at_most=1.3)


def around(middle: float, count: int = 80, noise: float = 0.1, seed: int = 1) -> list[float]:
    """Ratios as a busy machine shows them."""
    chance = random.Random(seed)  # noqa: S311
    return [middle * chance.lognormvariate(0, noise) for _ in range(count)]


def test_only_an_interval_wholly_beyond_the_limit_is_red() -> None:
    assert judged(Interval(1.5, 1.31, 1.6), 1.3) is Verdict.RED
    assert judged(Interval(1.5, 1.3, 1.6), 1.3) is Verdict.UNDECIDED
    assert judged(Interval(1.2, 1.1, 1.31), 1.3) is Verdict.UNDECIDED
    assert judged(Interval(1.2, 1.1, 1.3), 1.3) is Verdict.PASSED


def test_what_noise_can_explain_is_never_red() -> None:
    """The true ratio is at the limit: nobody may be blamed for it."""
    found = [ratio_check(LIMIT, around(1.3, seed=seed)).verdict for seed in range(200)]
    assert found.count(Verdict.RED) <= 4


def test_a_slowdown_of_fifteen_per_cent_over_the_limit_is_red_every_time() -> None:
    found = {ratio_check(LIMIT, around(1.3 * 1.15, seed=seed)).verdict for seed in range(50)}
    assert found == {Verdict.RED}


def test_too_few_rounds_decide_nothing() -> None:
    check = ratio_check(LIMIT, [9.0] * 4)
    assert check.verdict is Verdict.UNDECIDED
    assert (check.low, check.high) == (None, None)


def test_arms_are_compared_with_what_was_measured_beside_them() -> None:
    times = Times(
        {
            "GetProduct": {"echo": [10.0, 20.0], "GetProduct near": [12.0, 26.0]},
            "GetUserProfile": {"echo": [5.0, 10.0], "GetUserProfile near": [10.0, 13.0]},
        }
    )
    assert times.ratios("GetProduct near", "echo") == [1.2, 1.3]
    assert times.ratios("near", "echo") == pytest.approx([(1.2 * 2.0) ** 0.5, 1.3])
    assert times.rounds == 2
    assert times.medians() == {"echo": 10.0, "GetProduct near": 19.0, "GetUserProfile near": 11.5}
    for unknown in ("GetProduct redis", "Nothing near", "redis"):
        with pytest.raises(KeyError):
            times.ratios(unknown, "echo")


def test_limits_are_proposed_above_the_highest_run() -> None:
    runs = [
        Times({"GetProduct": {"echo": [10.0], "GetProduct near": [near]}}) for near in (12.0, 15.0)
    ]
    ((at_most, spread),) = calibrated([LIMIT], runs)
    assert at_most == pytest.approx(1.5 * 1.07)
    assert spread == pytest.approx(0.25)


def ruling(*checks: Check) -> Ruling:
    return Ruling(checks, rounds=40, cpu_us={"echo": 50.004}, circumstances={"commit": "abc"})


KEPT = Check("budget", "GetProduct.near", "0 queries", "0 queries", Verdict.PASSED)
BROKEN = Check("budget", "GetProduct.cold", "1 queries", "2 queries", Verdict.RED)


def test_one_red_check_makes_the_verdict_red() -> None:
    good = ruling(KEPT, ratio_check(LIMIT, around(1.2)))
    assert good.as_json()["verdict"] == "passed"
    bad = replace(good, checks=[*good.checks, BROKEN])
    assert bad.as_json()["verdict"] == "red"
    assert red_checks(bad.as_json()) == ["GetProduct.cold: 2 queries (1 queries)"]


def test_a_verdict_says_what_was_measured_and_against_what() -> None:
    found = ruling(KEPT, ratio_check(LIMIT, [1.25] * 40)).as_json()
    assert found["commit"] == "abc"
    assert found["cpu_us"] == {"echo": 50.0}
    assert found["checks"][1] == {
        "kind": "ratio",
        "name": "GetProduct near / echo",
        "limit": "at most 1.3",
        "measured": "1.250",
        "low": 1.25,
        "high": 1.25,
        "verdict": "passed",
        "detail": "",
    }


def test_a_summary_names_what_is_red_and_shows_every_ratio() -> None:
    told = summary(ruling(KEPT, BROKEN, ratio_check(LIMIT, around(2.0))))
    assert told.startswith("### Gate: red\n")
    assert "Budgets: 1 of 2 kept." in told
    assert "- **GetProduct.cold**: 2 queries, and the limit is 1 queries" in told
    assert "| GetProduct near / echo |" in told
    assert "| **red** |" in told


def test_a_test_that_fails_or_is_left_out_is_a_red_budget(tmp_path: Path) -> None:
    results = tmp_path / "results.xml"
    results.write_text(
        """<testsuites><testsuite>
        <testcase name="a"><properties>
          <property name="check" value="GetProduct.near"/>
          <property name="limit" value="0 queries"/><property name="measured" value="0 queries"/>
        </properties></testcase>
        <testcase name="b"><failure message="assert 2 == 1"/></testcase>
        <testcase name="c"><error message="no store"/></testcase>
        <testcase name="d"><skipped message="not today"/></testcase>
        </testsuite></testsuites>"""
    )
    found = read_results(results)
    assert [check.name for check in found] == ["GetProduct.near", "b", "c", "d"]
    assert [check.verdict for check in found] == [Verdict.PASSED, *[Verdict.RED] * 3]
    assert found[1].detail == "assert 2 == 1"


# ---- base against head


def pairs(**ratios: float) -> Pairs:
    found = Pairs()
    for number, (arm, ratio) in enumerate(ratios.items()):
        base = around(50.0, count=60, seed=100 + number)
        head = [
            time * factor
            for time, factor in zip(base, around(ratio, 60, 0.15, number), strict=True)
        ]
        found.add(arm, base, head)
    return found


def test_code_compared_with_itself_shows_no_difference() -> None:
    for offset in range(20):
        found = Pairs()
        for arm in range(10):
            base = [50.0] * 60
            head = [50.0 * ratio for ratio in around(1.0, 60, 0.15, seed=10 * offset + arm)]
            found.add(f"arm {arm}", base, head)
        assert [change.arm for change in changes(found) if change.real] == []


def test_what_became_dearer_is_told_from_what_did_not() -> None:
    one, other, third = changes(pairs(one=1.15, other=1.0, third=0.8))
    assert one.dearer(0.05)
    assert one.words.endswith("dearer")
    assert not other.real
    assert other.words == "same"
    assert third.real
    assert not third.dearer(0.05)
    assert third.words.endswith("cheaper")


def test_less_than_what_memory_layout_does_is_no_change() -> None:
    change = Change("echo", 50, 50.5, ratio=1.015, low=1.01, high=1.02, likelihood=1e-9)
    assert not change.real


def test_a_layer_is_dearer_if_one_of_its_arms_is() -> None:
    found = [
        Change("GetProduct near", 50, 60, 1.2, 1.1, 1.3, 1e-9),
        Change("GetProduct redis", 90, 90, 1.0, 0.9, 1.1, 1.0),
    ]
    assert [change.arm for change in dearer("near", found)] == ["GetProduct near"]
    assert [change.arm for change in dearer("GetProduct near", found)] == ["GetProduct near"]
    assert dearer("redis", found) == []


def test_the_slow_mutant_is_slower_by_fifteen_per_cent_of_the_cheapest_arm() -> None:
    found = slower_by({"echo": 1.0, "A near": 60.0, "B near": 80.0, "A redis": 100.0})
    assert found == {"BENCH_SLOWER_NEAR_US": "9.000", "BENCH_SLOWER_REDIS_US": "15.000"}


def test_a_median_beyond_the_limit_is_looked_into_even_if_it_is_not_sure() -> None:
    unsure = ratio_check(LIMIT, [*[1.2] * 19, *[1.4] * 21])
    assert (unsure.verdict, unsure.beyond) == (Verdict.UNDECIDED, True)
    assert not ratio_check(LIMIT, [*[1.2] * 21, *[1.4] * 19]).beyond
    assert not ratio_check(LIMIT, [1.4] * 3).beyond
