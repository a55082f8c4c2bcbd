"""Two runs side by side: what changed is said, what is noise is not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from loadtests.compare import NotComparableError, compare, main
from loadtests.report_file import write_report
from loadtests.results import Process, Report
from tests.loadtests.support.reports import RUN, made_up, report_with, sample_of

PAIRS = 20
Written = Callable[..., tuple[str, str]]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(before: Report, after: Report) -> tuple[str, str]:
        for name, report in (("a.json", before), ("b.json", after)):
            write_report(report, tmp_path / name)
        return str(tmp_path / "a.json"), str(tmp_path / "b.json")

    return write


def verdicts(before: Report, after: Report, floor: float = 0.10) -> dict[str, str]:
    return {each.name: each.verdict for each in compare(before, after, floor).changes}


def drawn(seed: int, count: int = 20_000, times: float = 1.0) -> list[float]:
    draws = Random(seed)  # noqa: S311
    return [times * draws.lognormvariate(0.5, 0.5) for _ in range(count)]


def with_cpu(us: float, cpu_s: float = 5.0, requests: int = 10_000, name: str = "order") -> Report:
    process = Process(name, cpu_s, requests, us)
    return report_with(sample_of([1.0]), processes=[process])


@pytest.fixture(scope="module")
def alike() -> list[tuple[Report, Report]]:
    """Pairs of runs that draw their latencies from the same distributions."""
    return [
        (made_up(2 * pair, seconds=20), made_up(2 * pair + 1, seconds=20)) for pair in range(PAIRS)
    ]


def test_of_runs_alike_none_has_changed(alike: list[tuple[Report, Report]]) -> None:
    for before, after in alike:
        compared = compare(before, after)
        assert not compared.worse
        assert not compared.better


def test_even_without_a_floor_few_pairs_alike_show_a_change(
    alike: list[tuple[Report, Report]],
) -> None:
    alarms = [
        any(each.verdict in {"worse", "better"} for each in compare(*pair, floor=0.0).changes)
        for pair in alike
    ]
    # Promised is one in twenty, of which chance may make two or three times as many in so few.
    assert sum(alarms) <= PAIRS // 10


def test_a_shift_by_15_percent_is_seen_either_way() -> None:
    for seed in range(10):
        usual = report_with(sample_of(drawn(seed)))
        slower = report_with(sample_of(drawn(seed + 100, times=1.15)))
        assert verdicts(usual, slower)["GetProduct/near p50"] == "worse"
        assert verdicts(slower, usual)["GetProduct/near p50"] == "better"


def test_a_worse_tail_is_seen_where_the_median_is_the_same() -> None:
    usual = drawn(1)
    tail = [value * (2.0 if value > 4.0 else 1.0) for value in drawn(2)]
    found = verdicts(report_with(sample_of(usual)), report_with(sample_of(tail)))
    assert found["GetProduct/near p50"] == "same"
    assert found["GetProduct/near p99"] == "worse"


def test_what_a_run_is_too_short_to_tell_is_unclear() -> None:
    found = verdicts(
        report_with(sample_of(drawn(1, 200))), report_with(sample_of(drawn(2, 200, times=1.12)))
    )
    assert found["GetProduct/near p50"] == "unclear"
    assert found["GetProduct/near p99"] == "too few"


def test_the_floor_lets_pass_what_runs_differ_by_anyhow() -> None:
    before, after = report_with(sample_of(drawn(1))), report_with(sample_of(drawn(2, times=1.15)))
    assert verdicts(before, after, floor=0.05)["GetProduct/near p50"] == "worse"
    assert verdicts(before, after, floor=0.25)["GetProduct/near p50"] == "same"


def test_more_errors_are_worse_and_fewer_better() -> None:
    few = report_with(sample_of([1.0] * 5_000, errors={"UNAVAILABLE": 2}))
    many = report_with(sample_of([1.0] * 5_000, errors={"UNAVAILABLE": 90}))
    assert verdicts(few, many)["GetProduct/near errors"] == "worse"
    assert verdicts(many, few)["GetProduct/near errors"] == "better"
    assert verdicts(many, many)["GetProduct/near errors"] == "same"


def test_a_few_errors_more_are_chance() -> None:
    before = report_with(sample_of([1.0] * 5_000, errors={"UNAVAILABLE": 4}))
    after = report_with(sample_of([1.0] * 5_000, errors={"UNAVAILABLE": 9}))
    assert verdicts(before, after)["GetProduct/near errors"] == "same"


def test_dearer_requests_are_worse_and_cheaper_ones_better() -> None:
    assert verdicts(with_cpu(100.0), with_cpu(115.0))["order CPU"] == "worse"
    assert verdicts(with_cpu(115.0), with_cpu(100.0))["order CPU"] == "better"
    assert verdicts(with_cpu(100.0), with_cpu(108.0))["order CPU"] == "same"


def test_cpu_of_a_moment_tells_nothing() -> None:
    assert verdicts(with_cpu(100.0, cpu_s=0.1), with_cpu(200.0))["order CPU"] == "too few"
    assert verdicts(with_cpu(100.0), with_cpu(200.0, requests=20))["order CPU"] == "too few"


def test_a_dearer_load_generator_is_not_the_shops_fault_but_a_reason_for_caution() -> None:
    before, after = (with_cpu(us, name="load generator") for us in (100.0, 120.0))
    assert verdicts(before, after)["load generator CPU"] == "differs"
    (caution,) = compare(before, after).cautions
    assert "load generator's own CPU per request changed by +20%" in caution


@pytest.mark.parametrize(
    ("before", "after", "cautions"),
    [("0.2 1 1", "0.9 1 1", 0), ("0.2 1 1", "4.5 1 1", 1), ("4.5 1 1", "", 0), ("", "", 0)],
)
def test_a_machine_that_was_busier_before_one_run_is_a_reason_for_caution(
    before: str, after: str, cautions: int
) -> None:
    runs = [replace(RUN, machine={"load_average_before": average}) for average in (before, after)]
    first, second = (report_with(sample_of([1.0]), run=run) for run in runs)
    assert len(compare(first, second).cautions) == cautions


def test_cautions_are_said_before_any_change(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    busy = replace(RUN, machine={**RUN.machine, "load_average_before": "8.29 6.10 3.84"})
    for form in ((), ("--markdown",)):
        main([*written(made_up(1), replace(made_up(2), run=busy)), *form])
        out = capsys.readouterr().out
        assert out.index("its load average was 0.29 and 8.29") < out.index("GetProduct")


def test_a_smaller_speedup_is_told_and_blames_nobody() -> None:
    before = made_up(1)
    slower = [
        replace(each, speedup=each.speedup / 2, low=each.low / 2, high=each.high / 2)
        for each in before.comparisons
    ]
    compared = compare(before, replace(before, comparisons=slower))
    assert not compared.worse
    found = {each.name: each for each in compared.changes}
    assert found["GetProduct/near over mongo"].verdict == "differs"
    assert found["GetProduct/near over mongo"].change == pytest.approx(0.5)


def test_what_the_runs_differ_in_is_said_first(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    before = made_up(1)
    run = replace(
        RUN,
        users=64,
        machine={**RUN.machine, "cores": "8", "load_average_before": "3 2 1"},
        started="later",
    )
    assert main(written(before, replace(before, run=run))) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("these two runs differ in")
    assert lines[at + 1 : at + 3] == ["  users: 32 -> 64", "  cores: 4 -> 8"]
    assert at < next(place for place, line in enumerate(lines) if "GetProduct" in line)
    assert not any("started" in line or "load_average" in line for line in lines)


def test_settings_that_only_one_run_has_are_said(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    before = made_up(1)
    run = replace(RUN, settings={**RUN.settings, "SHOP_NEAR_LEASE_MS": "50"})
    main(written(before, replace(before, run=run)))
    assert "SHOP_NEAR_LEASE_MS: none -> 50" in capsys.readouterr().out


def test_runs_that_differ_in_nothing_say_so(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(written(made_up(1), made_up(2))) == 0
    out = capsys.readouterr().out
    assert "same settings, machine and versions" in out
    assert "Nothing got better or worse beyond the noise" in out


def test_what_only_one_run_measured_is_named(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    before = made_up(1)
    main(written(before, replace(before, samples=before.samples[:-1])))
    assert "only in the run before: CreateOrder" in capsys.readouterr().out


@pytest.mark.parametrize("changed", [{"scenario": "browse"}, {"model": "open"}])
def test_runs_that_measured_different_things_are_compared_only_if_it_is_wanted_anyway(
    written: Written, capsys: pytest.CaptureFixture[str], changed: dict[str, Any]
) -> None:
    before = made_up(1)
    files = written(before, replace(before, run=replace(RUN, **changed)))
    assert main(files) == 2
    assert f"the runs differ in {next(iter(changed))}" in capsys.readouterr().err
    assert main([*files, "--anyway"]) == 0


def test_runs_without_a_method_in_common_cannot_be_compared() -> None:
    with pytest.raises(NotComparableError, match="no method in common"):
        compare(report_with(sample_of([1.0])), report_with(sample_of([1.0], method="Other")))


def test_a_regression_fails_only_where_that_was_asked_for(written: Written) -> None:
    files = written(made_up(1), made_up(2, slower=1.3))
    assert main(files) == 0
    assert main([*files, "--fail-on-regression"]) == 1
    assert main([*reversed(files), "--fail-on-regression"]) == 0
    assert main([*files, "--fail-on-regression", "--noise", "0.6"]) == 0


def test_a_file_that_cannot_be_read_is_named_and_ends_with_2(
    written: Written, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = written(made_up(1), made_up(2))
    (tmp_path / "old.json").write_text('{"format": "shop-load-report/0"}')
    for other, said in (("none.json", "No such file"), ("old.json", "format is")):
        assert main([files[0], str(tmp_path / other)]) == 2
        err = capsys.readouterr().err
        assert other in err
        assert said in err


def test_a_broken_histogram_ends_with_2(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = report_with(sample_of([1.0], histogram="AAAA"))
    assert main(written(broken, broken)) == 2
    assert "GetProduct/near: its histogram" in capsys.readouterr().err


def test_markdown_has_the_verdict_first_and_a_table_for_each_kind(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*written(made_up(1), made_up(2, slower=1.3)), "--markdown"])
    lines = capsys.readouterr().out.splitlines()
    assert "got worse: GetProduct/near p50" in lines[0]
    assert any(line.startswith("| GetProduct/near p50 | ") for line in lines)
    tables = [line for line in lines if line.startswith("|---")]
    assert len(tables) == 4


def test_json_has_every_change(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = made_up(1), made_up(2, slower=1.3)
    main([*written(before, after), "--json"])
    plain = orjson.loads(capsys.readouterr().out)
    found = {each["name"]: each for each in plain["changes"]}
    change = found["GetProduct/near p50"]
    assert (change["kind"], change["verdict"]) == ("latency", "worse")
    assert change["before"] == before.samples[0].latency_ms.p50
    assert change["after"] == after.samples[0].latency_ms.p50
    assert change["low"] < change["change"] < change["high"]
    assert "GetProduct/near p50" in plain["worse"]
