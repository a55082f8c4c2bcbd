"""A report survives being written and read, and a file that is none says why."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from loadtests.report_file import UnreadableReportError, read_report, report_of, write_report
from tests.loadtests.support.reports import made_up


@pytest.fixture
def plain() -> Any:
    return orjson.loads(orjson.dumps(made_up(seconds=2)))


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    report = made_up()
    path = tmp_path / "report.json"
    write_report(report, path)
    assert read_report(path) == report
    assert list(tmp_path.iterdir()) == [path]


def test_whole_numbers_are_read_where_fractions_are_meant(plain: Any) -> None:
    plain["run"]["duration_s"] = 120
    assert report_of(plain).run.duration_s == 120.0


def test_what_may_be_missing_may_be_missing(plain: Any) -> None:
    plain["run"]["rate_per_s"] = None
    plain["samples"][0]["server_ms"] = None
    plain["timeline"][0]["p50_ms"] = None
    report = report_of(plain)
    assert report.samples[0].server_ms is None
    assert report.timeline[0].p50_ms is None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableReportError, match=r"none\.json: No such file"):
        read_report(tmp_path / "none.json")


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"format": ')
    with pytest.raises(UnreadableReportError, match=r"broken\.json: is not JSON"):
        read_report(path)


@pytest.mark.parametrize("stated", [None, "shop-load-report/2", 1])
def test_another_format_is_refused_by_its_name(plain: Any, stated: object) -> None:
    plain["format"] = stated
    with pytest.raises(UnreadableReportError, match=f"format is {stated!r} and not 'shop-load"):
        report_of(plain)


def test_what_is_no_object_has_no_format() -> None:
    with pytest.raises(UnreadableReportError, match="format is None"):
        report_of([1, 2])


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("samples", 1, "latency_ms", "p99"), "fast", r"samples\[1\]\.latency_ms\.p99: is str"),
        (("samples", 0, "latency_ms", "p50"), None, r"samples\[0\]\.latency_ms\.p50: is NoneType"),
        (("samples", 0, "count"), True, r"samples\[0\]\.count: is bool and not int"),
        (("samples", 0, "curve", 3), [1.0], r"curve\[3\]: has 1 items and not 2"),
        (("samples", 0, "errors"), [], r"errors: is not an object"),
        (("samples", 0, "sources", "near"), 1.5, r"sources\.near: is float and not int"),
        (("timeline",), {}, r"timeline: is not a list"),
        (("run", "settings", "SHOP_CACHE"), 7, r"settings\.SHOP_CACHE: is int and not str"),
    ],
)
def test_a_wrong_value_is_named_by_its_place(
    plain: Any, where: tuple[Any, ...], value: object, said: str
) -> None:
    inner = plain
    for step in where[:-1]:
        inner = inner[step]
    inner[where[-1]] = value
    with pytest.raises(UnreadableReportError, match=said):
        report_of(plain)


def test_missing_and_unknown_fields_are_named(plain: Any) -> None:
    del plain["processes"][0]["cpu_s"]
    plain["processes"][0]["cpus"] = 4
    with pytest.raises(
        UnreadableReportError, match=r"processes\[0\]: cpu_s is missing, cpus is unknown"
    ):
        report_of(plain)
