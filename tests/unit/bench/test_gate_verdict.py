"""What is red, what is not, and how it is told."""

import random
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.gate import mutations
from bench.gate.budgets import BudgetsNotCountedError, read_results
from bench.gate.compare import Change, changes
from bench.gate.duel import Pairs
from bench.gate.limits import RatioLimit
from bench.gate.mutants import CHAIN_US, NEAR_US, REDIS_US
from bench.gate.mutations import red_checks, slower_by
from bench.gate.race import Times
from bench.gate.ratios import calibrated, dearer, weighed
from bench.gate.statistics import Interval
from bench.gate.verdict import Check, Exit, Ruling, Verdict, judged, publish, ratio_check, summary

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
            "echo": {"echo": [12.0, 20.0], "bare": [10.0, 16.0], "naive cached": [96.0, 200.0]},
            "GetProduct": {"echo": [10.0, 20.0], "GetProduct near": [12.0, 26.0]},
            "GetUserProfile": {"echo": [5.0, 10.0], "GetUserProfile near": [10.0, 13.0]},
        }
    )
    assert times.ratios("GetProduct near", "echo") == [1.2, 1.3]
    assert times.ratios("near", "echo") == pytest.approx([(1.2 * 2.0) ** 0.5, 1.3])
    assert times.rounds == 2
    assert times.ratios("echo", "bare") == [1.2, 1.25]
    assert times.ratios("echo", "naive cached") == [0.125, 0.1]
    assert times.medians() == {
        "echo": 11.0, "bare": 13.0, "naive cached": 148.0,
        "GetProduct near": 19.0, "GetUserProfile near": 11.5,
    }  # fmt: skip
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


def results(folder: Path, ending: str, *said: str) -> Path:
    """What pytest writes of one test, with what it measured."""
    properties = "".join(f'<property name="{name}" value="1 queries"/>' for name in said)
    file = folder / "results.xml"
    file.write_text(
        f"""<testsuites><testsuite><testcase name="a">
        <properties>{properties}</properties>{ending}
        </testcase></testsuite></testsuites>"""
    )
    return file


def test_a_budget_that_was_measured_and_is_not_kept_is_red(tmp_path: Path) -> None:
    (kept,) = read_results(results(tmp_path, "", "limit", "measured"))
    assert kept.verdict is Verdict.PASSED
    failure = '<failure message="assert 2 == 1"/>'
    (broken,) = read_results(results(tmp_path, failure, "limit", "measured"))
    assert (broken.verdict, broken.detail) == (Verdict.RED, "assert 2 == 1")


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ('<failure message="TimeoutError"/>', ()),
        ('<error message="no store"/>', ()),
        ('<error message="no store"/>', ("measured",)),
        ('<skipped message="not today"/>', ()),
    ],
)
def test_a_budget_that_was_not_measured_is_not_red(
    tmp_path: Path, ending: str, said: tuple[str, ...]
) -> None:
    with pytest.raises(BudgetsNotCountedError, match="a: "):
        read_results(results(tmp_path, ending, *said))


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


def test_beyond_the_limit_is_red_if_the_calibrated_commit_is_cheaper_or_by_far() -> None:
    same = [Change("GetProduct near", 50, 50, 1.0, 0.9, 1.1, 1.0)]
    dear = [Change("GetProduct near", 50, 60, 1.2, 1.1, 1.3, 1e-9)]
    near, far = ratio_check(LIMIT, around(1.3 * 1.2)), ratio_check(LIMIT, around(1.3 * 1.7))
    assert weighed(near, LIMIT, same).verdict is Verdict.ELSEWHERE
    assert weighed(near, LIMIT, dear).verdict is Verdict.RED
    assert weighed(far, LIMIT, same).verdict is Verdict.RED
    assert weighed(ratio_check(LIMIT, around(1.1)), LIMIT, dear).verdict is Verdict.PASSED


def test_slow_mutants_are_slower_by_fifteen_per_cent_of_the_cheapest_arm() -> None:
    found = slower_by({"echo": 40.0, "A near": 60.0, "B near": 80.0, "A redis": 100.0})
    assert found == {CHAIN_US: "6.000", NEAR_US: "9.000", REDIS_US: "15.000"}


def test_a_median_beyond_the_limit_is_looked_into_even_if_it_is_not_sure() -> None:
    unsure = ratio_check(LIMIT, [*[1.2] * 19, *[1.4] * 21])
    assert (unsure.verdict, unsure.beyond) == (Verdict.UNDECIDED, True)
    assert not ratio_check(LIMIT, [*[1.2] * 21, *[1.4] * 19]).beyond
    assert not ratio_check(LIMIT, [1.4] * 3).beyond


# ---- the mutation run


def gate(monkeypatch: pytest.MonkeyPatch, *codes: int) -> None:
    """Let the gate end with these codes, one after another; what has a verdict writes it."""
    ends = iter(codes)

    def run(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        code = next(ends)
        if code in {Exit.PASSED, Exit.RED}:
            found = ruling(BROKEN if code else KEPT).as_json() | {"cpu_us": COSTS}
            publish(Path(command[command.index("--out") + 1]), found, "")
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(subprocess, "run", run)


COSTS = {"echo": 40.0, "A near": 60.0, "A redis": 100.0}


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ((Exit.PASSED, Exit.RED, Exit.RED), Exit.PASSED),
        ((Exit.PASSED, Exit.RED, Exit.PASSED), Exit.RED),
        ((Exit.RED, Exit.RED, Exit.RED), Exit.RED),
        ((Exit.PASSED, Exit.RED, Exit.NOT_MEASURED), Exit.NOT_MEASURED),
    ],
)
def test_the_mutation_run_ends_with_what_the_gate_found(
    monkeypatch: pytest.MonkeyPatch, codes: tuple[int, ...], code: int
) -> None:
    gate(monkeypatch, *codes)
    assert mutations.main(["--only", "extra-trip", "--only", "lost-batch"]) == code


@pytest.mark.parametrize("crash", [1, 2, -9])
def test_a_gate_that_crashes_has_not_seen_the_mutant(
    monkeypatch: pytest.MonkeyPatch, crash: int
) -> None:
    gate(monkeypatch, Exit.PASSED, Exit.RED, crash)
    with pytest.raises(subprocess.CalledProcessError):
        mutations.main(["--only", "extra-trip", "--only", "lost-batch"])
