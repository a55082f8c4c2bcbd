"""The files that show a run, read without a browser."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from loadtests.pages import write
from loadtests.pages.page import page
from loadtests.pages.picture import picture
from loadtests.pages.scales import linear_ticks, log_bounds, log_ticks, nines
from loadtests.pages.words import brief, finding, headline, share, times
from loadtests.report_file import read_report
from loadtests.results import Comparison, Report
from tests.loadtests.support.reports import RUN, made_up, report_with, sample_of

HOSTILE = """</script><script>alert("1")</script><img src=x onerror='alert(2)'>&amp;"""
NEAR = Comparison("GetProduct", "product:", "mongo", "near", 12.34, 11.92, 12.81, 0.95, 1000)


def test_a_run_is_written_as_json_page_and_picture(tmp_path: Path) -> None:
    report = made_up(seconds=10)
    folder = tmp_path / "deep" / "down"
    paths = write(report, folder)
    assert [path.name for path in paths] == ["report.json", "report.html", "latency.svg"]
    assert sorted(folder.iterdir()) == sorted(paths)
    assert read_report(paths[0]) == report


@pytest.mark.parametrize(
    ("comparison", "said"),
    [
        (
            NEAR,
            (
                "product: the median read through the near cache is 12.3 times faster than "
                "MongoDB's (11.9 to 12.8)"
            ),
        ),
        (
            replace(NEAR, arm="redis", speedup=3.0, low=2.9, high=3.1),
            (
                "product: the median read from Redis alone is 3.00 times faster than MongoDB's "
                "(2.90 to 3.10)"
            ),
        ),
        (
            replace(NEAR, speedup=0.5, low=0.4, high=0.8),
            (
                "product: the median read through the near cache is 2.00 times slower than "
                "MongoDB's (1.25 to 2.50)"
            ),
        ),
        (
            replace(NEAR, speedup=1.01, low=0.98, high=1.04),
            (
                "product: the median read through the near cache is as fast as MongoDB's, as far "
                "as this run can tell (0.98 to 1.04)"
            ),
        ),
        (
            replace(NEAR, lookup=""),
            (
                "GetProduct: the median read through the near cache is 12.3 times faster than "
                "MongoDB's (11.9 to 12.8)"
            ),
        ),
    ],
)
def test_a_finding_is_told_in_words(comparison: Comparison, said: str) -> None:
    assert headline(comparison) == said
    assert finding(comparison) in said


def test_a_ratio_without_an_end_can_be_told() -> None:
    assert "inf" in finding(replace(NEAR, speedup=0.5, low=0.0, high=0.9))
    assert "12.3 times" in brief(NEAR)


def test_each_lookup_has_its_headline_on_the_page() -> None:
    report = made_up(seconds=10)
    shown = page(report)
    for comparison in report.comparisons:
        if comparison.arm == "near":
            assert headline(comparison) in shown


def test_what_a_report_says_cannot_become_markup() -> None:
    sample = sample_of(
        [1.0] * 50, method=HOSTILE, lookup=HOSTILE, errors={HOSTILE: 1}, sources={HOSTILE: 50}
    )
    run = replace(RUN, command=HOSTILE, settings={HOSTILE: HOSTILE}, machine={"cpu": HOSTILE})
    report = replace(made_up(seconds=2), run=run)
    report = replace(report, samples=[sample, *report.samples])
    for shown in (page(report), picture(report)):
        assert "<img" not in shown
        assert "alert(" in shown
        assert "<script>alert" not in shown
    ET.fromstring(picture(report))  # noqa: S314


def test_the_page_names_no_place_to_fetch_from() -> None:
    shown = page(made_up(seconds=10))
    for word in ("http://", "https://", "//cdn", "@import", "url(", "src="):
        assert word not in shown
    assert "default-src 'none'" in shown.replace("&#x27;", "'")


def test_the_picture_is_well_formed_and_has_a_ground_of_its_own() -> None:
    drawn = ET.fromstring(picture(made_up(seconds=10)))  # noqa: S314
    space = {"s": "http://www.w3.org/2000/svg"}
    assert drawn.find("s:title", space) is not None
    assert "product:" in (drawn.findtext("s:desc", "", space))
    assert [each.get("class") for each in drawn.findall("s:rect", space)] == ["ground"]
    assert len(drawn.findall("s:g", space)) == 2
    assert "http" not in "".join(drawn.itertext())


@pytest.mark.parametrize(
    "report",
    [
        report_with(),
        report_with(sample_of([])),
        report_with(sample_of([0.0])),
        report_with(sample_of([1.0])),
        report_with(sample_of([5.0] * 1_000)),
        report_with(sample_of([1.0], method="Other", arm="", lookup="", server_ms=None)),
        report_with(sample_of([1.0]), comparisons=[NEAR]),
        made_up(seconds=1),
        replace(made_up(seconds=3), samples=[]),
    ],
    ids=[
        "nothing",
        "no call",
        "0 ms",
        "1 call",
        "all alike",
        "other",
        "no base",
        "1 s",
        "no sample",
    ],
)
def test_a_run_of_little_can_be_shown(report: Report) -> None:
    assert page(report).endswith("</html>")
    ET.fromstring(picture(report))  # noqa: S314


def test_a_closed_run_says_that_it_hides_queueing_and_an_open_one_does_not() -> None:
    report = made_up(seconds=2)
    assert "Queueing is hidden" in page(report)
    opened = page(replace(report, run=replace(RUN, model="open", rate_per_s=300.0)))
    assert "Queueing is hidden" not in opened
    assert "Arrivals are scheduled" in opened


def test_a_share_that_is_almost_nothing_or_all_is_not_rounded_to_it() -> None:
    assert share(0, 10) == "0 %"
    assert share(1, 100_000) == "< 0.1 %"
    assert share(99_999, 100_000) == "> 99.9 %"
    assert share(10, 10) == "100 %"
    assert share(1, 3) == "33.3 %"
    assert share(0, 0) == "none"


def test_ratios_have_about_three_figures() -> None:
    assert [times(each) for each in (0.5, 7.865, 9.96, 12.34, 1234.0)] == [
        "0.50",
        "7.87",
        "10.0",
        "12.3",
        "1,234.0",
    ]


def test_each_nine_of_a_percentile_is_as_far_from_the_last() -> None:
    assert [round(nines(each), 9) for each in (0, 90, 99, 99.9)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("low", "high", "bounds"),
    [
        (0.14, 7.7, (0.1, 10.0)),
        (0.1, 10.0, (0.1, 10.0)),
        (0.3, 45.0, (0.2, 50.0)),
        (3.0, 3.0, (2.0, 5.0)),
        (5.0, 5.0, (5.0, 10.0)),
        (0.01, 0.01, (0.01, 0.02)),
        (999.0, 1001.0, (500.0, 2000.0)),
    ],
)
def test_a_logarithmic_axis_ends_at_round_values(
    low: float, high: float, bounds: tuple[float, float]
) -> None:
    assert log_bounds(low, high) == bounds


def test_a_long_axis_names_powers_of_ten_and_a_short_one_more() -> None:
    assert log_ticks(0.1, 100) == [0.1, 1.0, 10.0, 100.0]
    assert log_ticks(0.2, 5) == [0.2, 0.5, 1.0, 2.0, 5.0]


@pytest.mark.parametrize(
    ("high", "ticks"),
    [(1, [0, 0.5, 1.0]), (70, [0, 50, 100]), (100, [0, 50, 100]), (6, [0, 2, 4, 6])],
)
def test_a_linear_axis_begins_at_nothing_and_reaches_the_highest(
    high: float, ticks: list[float]
) -> None:
    assert linear_ticks(high) == ticks
