"""Limits are read from options, and judge what they were set for."""

from argparse import ArgumentParser

import pytest

from loadtests.results import Comparison, Report, Threshold
from loadtests.thresholds import Limit, Limits, add_options, judge, limits_of
from tests.loadtests.support.reports import report_with, sample_of

FAST = [1.0] * 98 + [5.0] * 2
SLOW = [10.0] * 98 + [50.0] * 2


def parsed(*options: str) -> Limits:
    parser = ArgumentParser()
    add_options(parser)
    return limits_of(parser.parse_args(options))


def comparison(arm: str, low: float) -> Comparison:
    return Comparison("GetProduct", "product:", "mongo", arm, low * 1.1, low, low * 1.2, 0.95, 1000)


@pytest.fixture
def report() -> Report:
    return report_with(
        sample_of(FAST),
        sample_of(SLOW, arm="mongo", errors={"UNAVAILABLE": 6}),
        sample_of(SLOW, method="CreateOrder", arm="", lookup="", errors={"ABORTED": 1}),
        comparisons=[comparison("near", 8.0), comparison("redis", 3.0)],
    )


def test_without_options_there_is_nothing_to_judge(report: Report) -> None:
    assert parsed() == Limits()
    assert judge(report, Limits()) == []


def test_options_are_numbers_alone_or_for_a_part() -> None:
    assert parsed(
        "--fail-p99-ms", "20", "--fail-p99-ms", "CreateOrder=250", "--fail-error-rate=0.01"
    ) == Limits(
        p99_ms=(Limit(20.0), Limit(250.0, "CreateOrder")), error_rate=(Limit(0.01),), speedup=()
    )
    assert parsed("--fail-speedup-below", "GetProduct/redis=2") == Limits(
        speedup=(Limit(2.0, "GetProduct/redis"),)
    )


@pytest.mark.parametrize(
    "option",
    [
        "--fail-p99-ms=fast",
        "--fail-p99-ms=0",
        "--fail-p99-ms=nan",
        "--fail-p99-ms=inf",
        "--fail-p99-ms=GetProduct=",
        "--fail-error-rate=1.5",
        "--fail-error-rate=-0.1",
        "--fail-speedup-below=-3",
    ],
)
def test_what_can_be_no_limit_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(option)
    assert ended.value.code == 2
    assert option.partition("=")[0] in capsys.readouterr().err


def test_a_p99_is_judged_as_customers_get_it_and_not_by_the_reference_arms(report: Report) -> None:
    assert judge(report, parsed("--fail-p99-ms", "20")) == [
        Threshold("p99 of GetProduct/near, ms", 20.0, 5.0, passed=True),
        Threshold("p99 of CreateOrder, ms", 20.0, 50.0, passed=False),
    ]


def test_a_limit_of_its_own_goes_before_the_one_for_all(report: Report) -> None:
    limits = parsed("--fail-p99-ms", "4", "--fail-p99-ms", "CreateOrder=60")
    assert judge(report, limits) == [
        Threshold("p99 of GetProduct/near, ms", 4.0, 5.0, passed=False),
        Threshold("p99 of CreateOrder, ms", 60.0, 50.0, passed=True),
    ]


def test_an_arm_of_reference_is_judged_when_it_is_named(report: Report) -> None:
    assert judge(report, parsed("--fail-p99-ms", "GetProduct/mongo=40")) == [
        Threshold("p99 of GetProduct/mongo, ms", 40.0, 50.0, passed=False)
    ]


def test_what_is_exactly_at_its_limit_has_kept_it(report: Report) -> None:
    limits = parsed(
        "--fail-p99-ms=GetProduct/near=5",
        "--fail-error-rate=CreateOrder=0.01",
        "--fail-speedup-below=8",
    )
    assert [threshold.passed for threshold in judge(report, limits)] == [True, True, True]


def test_errors_are_judged_by_method_so_that_a_busy_one_does_not_hide_them(report: Report) -> None:
    assert judge(report, parsed("--fail-error-rate", "0.02")) == [
        Threshold("share of errors of GetProduct", 0.02, 6 / 200, passed=False),
        Threshold("share of errors of CreateOrder", 0.02, 1 / 100, passed=True),
    ]


def test_a_method_with_an_error_limit_of_its_own_is_left_to_it(report: Report) -> None:
    limits = parsed("--fail-error-rate=0", "--fail-error-rate=GetProduct=0.05")
    assert judge(report, limits) == [
        Threshold("share of errors of CreateOrder", 0.0, 1 / 100, passed=False),
        Threshold("share of errors of GetProduct", 0.05, 6 / 200, passed=True),
    ]


def test_a_speedup_has_to_be_shown_by_the_lower_end_of_its_interval(report: Report) -> None:
    name = "speedup of GetProduct/near over mongo, lower end"
    assert judge(report, parsed("--fail-speedup-below", "8.5")) == [
        Threshold(name, 8.5, 8.0, passed=False)
    ]
    assert judge(report, parsed("--fail-speedup-below", "7.5")) == [
        Threshold(name, 7.5, 8.0, passed=True)
    ]


def test_redis_alone_is_judged_by_a_limit_for_it(report: Report) -> None:
    found = judge(report, parsed("--fail-speedup-below", "GetProduct/redis=2.5"))
    assert [(each.measured, each.passed) for each in found] == [(3.0, True)]


@pytest.mark.parametrize(
    "option",
    [
        "--fail-p99-ms=DeleteProduct=5",
        "--fail-error-rate=DeleteProduct=0",
        "--fail-speedup-below=DeleteProduct=2",
    ],
)
def test_a_limit_for_what_was_not_measured_is_not_kept(report: Report, option: str) -> None:
    (threshold,) = judge(report, parsed(option))
    assert not threshold.passed
    assert "of DeleteProduct: nothing was measured" in threshold.name


@pytest.mark.parametrize("option", ["p99-ms=5", "error-rate=1", "speedup-below=1"])
def test_no_limit_is_kept_by_a_run_without_calls(option: str) -> None:
    (threshold,) = judge(report_with(), parsed(f"--fail-{option}"))
    assert not threshold.passed
    (threshold,) = judge(report_with(sample_of([])), parsed(f"--fail-{option}"))
    assert not threshold.passed


def test_the_limit_for_all_is_silent_where_each_has_its_own() -> None:
    report = report_with(sample_of(FAST))
    limits = parsed("--fail-p99-ms=1", "--fail-p99-ms=GetProduct=9", "--fail-error-rate=0")
    assert [(each.limit, each.passed) for each in judge(report, limits)] == [
        (9.0, True),
        (0.0, True),
    ]
