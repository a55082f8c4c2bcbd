"""The page in a real browser: it renders, tells the report's numbers, and asks nobody."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from loadtests.pages import write
from loadtests.report_file import read_report
from loadtests.results import Report
from tests.loadtests.support.reports import made_up
from tests.slow.loadtests.support.chromium import Chromium, Tab, running_chromium
from tests.slow.loadtests.support.png import pixels
from tests.slow.loadtests.support.recorder import Recorder, recording_proxy

PHONE = {"width": 390, "height": 844}
DATA = "[...document.querySelectorAll('data')].map(e => [e.dataset.path, e.value, e.innerText])"
# What the charts show instead, and what a reader has no use for.
NOT_TOLD = ("curve", "histogram", "method", "lookup", "arm", "base", "name")
WORDS_AND_OTHER_FORMS = ("run.", "thresholds.", "notes.", "stock.wrong.")

Opened = Callable[..., Tab]


@pytest.fixture(scope="module")
def proxy() -> Iterator[Recorder]:
    with recording_proxy() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory, proxy: Recorder) -> Iterator[Chromium]:
    with running_chromium(tmp_path_factory.mktemp("chromium"), proxy.address) as browser:
        yield browser


@pytest.fixture(scope="module")
def report() -> Report:
    return made_up()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, report: Report) -> list[Path]:
    return write(report, tmp_path_factory.mktemp("report"))


@pytest.fixture
def opened(chromium: Chromium, files: list[Path]) -> Opened:
    def opened_page(path: Path = files[1], *, dark: bool = False, **size: int) -> Tab:
        tab = Tab(chromium, **size)
        if dark:
            tab.dark()
        tab.open(path.as_uri())
        return tab

    return opened_page


def leaves(plain: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every single value of a report with its place, as the page names it."""
    if isinstance(plain, dict | list):
        items = plain.items() if isinstance(plain, dict) else enumerate(plain)
        for key, value in items:
            if key not in NOT_TOLD:
                yield from leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, plain


def told(report: Report) -> dict[str, Any]:
    """All values that the page has to tell, by their place in report.json."""
    plain = asdict(report)
    del plain["timeline"], plain["format"]
    return {path: value for path, value in leaves(plain) if value is not None}


def brightness(colour: tuple[int, int, int]) -> float:
    return sum(colour) / 3


def test_the_page_renders_without_a_complaint(opened: Opened) -> None:
    tab = opened()
    assert tab.evaluate("document.title").startswith("Load: mixed")
    assert tab.complaints() == []
    shown = pixels(tab.screenshot(scale=0.25))
    assert len(set(shown)) > 100
    assert brightness(shown[0]) > 200


def test_the_numbers_on_the_page_are_those_of_the_json(opened: Opened, files: list[Path]) -> None:
    wanted = told(read_report(files[0]))
    found: dict[str, set[str]] = {}
    for path, value, _ in opened().evaluate(DATA):
        found.setdefault(path, set()).add(value)
    assert found.keys() == wanted.keys()
    for path, value in wanted.items():
        (digits,) = found[path]
        if isinstance(value, bool):
            assert digits == str(value).lower()
        elif isinstance(value, str):
            assert digits == value
        else:
            assert float(digits) == value


def test_what_a_reader_sees_of_a_number_is_the_number_rounded(opened: Opened) -> None:
    for path, digits, seen in opened().evaluate(DATA):
        if path.startswith(WORDS_AND_OTHER_FORMS) or path.endswith(".confidence"):
            continue
        decimals = len(seen.partition(".")[2])
        assert float(seen.replace(",", "")) == pytest.approx(
            float(digits), abs=0.51 * 10**-decimals
        ), path


def test_the_findings_stand_first(opened: Opened, report: Report) -> None:
    text = opened().evaluate("document.querySelector('.cards').innerText")
    assert "product: the median read through the near cache is" in text
    assert "user_orders: the median read through the near cache is" in text


def test_a_limit_that_was_not_held_is_said_at_the_top(opened: Opened) -> None:
    assert "1 of 2 limits not held" in opened().evaluate(
        "document.querySelector('header').innerText"
    )


def test_nothing_is_fetched_from_anywhere(
    opened: Opened, files: list[Path], proxy: Recorder
) -> None:
    tab = opened()
    assert tab.requested() == [files[1].as_uri()]
    assert not [line for line in proxy.asked if "outside.example" in line]


def test_a_page_that_does_fetch_would_be_seen(
    opened: Opened, proxy: Recorder, tmp_path: Path
) -> None:
    path = tmp_path / "fetching.html"
    path.write_text("<img src=http://outside.example/seen.png>")
    assert "http://outside.example/seen.png" in opened(path).requested()
    assert [line for line in proxy.asked if "outside.example/seen.png" in line]


def test_even_what_was_slipped_into_the_page_can_fetch_nothing(
    opened: Opened, files: list[Path], proxy: Recorder, tmp_path: Path
) -> None:
    path = tmp_path / "slipped.html"
    slipped = "<img src=http://outside.example/slipped.png></body>"
    path.write_text(files[1].read_text().replace("</body>", slipped))
    opened(path)
    assert not [line for line in proxy.asked if "slipped.png" in line]


@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 568}, {"width": 820}, {}])
def test_no_width_needs_scrolling_sideways(opened: Opened, size: dict[str, int]) -> None:
    tab = opened(**size)
    assert tab.evaluate("innerWidth") == size.get("width", 1280)
    assert tab.evaluate(
        "document.documentElement.scrollWidth === document.documentElement.clientWidth"
    )


def test_a_phone_shows_everything_or_scrolls_it_in_a_box(opened: Opened) -> None:
    outside = opened(**PHONE).evaluate(
        """[...document.querySelectorAll('body *')]
            .filter(e => !e.closest('.scroll, pre, caption'))
            .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5)
            .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert outside == []


def test_the_words_of_a_chart_stay_within_it_and_can_be_read_on_a_phone(opened: Opened) -> None:
    for size in (PHONE, {}):
        words = opened(**size).evaluate(
            """[...document.querySelectorAll('svg text')].map(e => {
                const at = e.getBoundingClientRect();
                const box = e.closest('svg').getBoundingClientRect();
                const size = parseFloat(getComputedStyle(e).fontSize)
                    * box.width / e.closest('svg').viewBox.baseVal.width;
                return [e.textContent, at.left - box.left, box.right - at.right, size];
            })"""
        )
        assert words
        for text, left, right, height in words:
            assert min(left, right) >= -0.5, text
            assert height >= 10, text


def test_a_dark_screen_gets_a_dark_page(opened: Opened) -> None:
    tab = opened(dark=True)
    assert brightness(pixels(tab.screenshot(scale=0.25))[0]) < 40


@pytest.mark.parametrize("dark", [False, True])
def test_all_words_stand_out_from_their_ground(opened: Opened, dark: bool) -> None:  # noqa: FBT001
    faint = opened(dark=dark).evaluate(CONTRAST)
    assert faint == []


def test_tables_can_be_read_aloud_and_charts_say_what_they_show(opened: Opened) -> None:
    assert opened().evaluate(
        """[...document.querySelectorAll('table')].every(table =>
            table.caption.innerText && table.querySelector('thead th[scope=col]')
            && table.querySelector('tbody th[scope=row]'))
        && [...document.querySelectorAll('svg')].every(chart =>
            chart.getAttribute('aria-labelledby').split(' ')
                .every(id => document.getElementById(id).textContent))
        && document.querySelectorAll('[id]').length
            === new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"""
    )


def test_pointing_at_a_chart_tells_the_values_there(opened: Opened, report: Report) -> None:
    tab = opened()
    at = tab.evaluate(
        """(() => {
            const mark = document.querySelector('figure .mark.near');
            mark.scrollIntoView({block: 'center'});
            const box = mark.getBoundingClientRect();
            return {x: box.x + box.width / 2, y: box.y + box.height / 2};
        })()"""
    )
    tab.ask("Input.dispatchMouseEvent", type="mouseMoved", **at)
    said = tab.evaluate(
        """new Promise(resolve => {
            const look = () => {
                const tip = document.querySelector('figure .tip');
                tip.hidden ? setTimeout(look, 10) : resolve(tip.innerText);
            };
            look();
        })"""
    )
    assert said.startswith("50 %")
    assert f"near cache: {report.samples[0].latency_ms.p50:.2f} ms" in said


def test_a_run_without_arms_renders_too(opened: Opened, tmp_path: Path) -> None:
    whole = made_up(seconds=5)
    plain = [sample for sample in whole.samples if not sample.arm]
    report = replace(whole, samples=plain, comparisons=[], timeline=[], thresholds=[])
    tab = opened(write(report, tmp_path)[1])
    assert tab.complaints() == []
    assert "CreateOrder" in tab.evaluate("document.body.innerText")


def test_the_picture_is_drawn_on_its_own_ground_even_where_it_is_dark(
    opened: Opened, files: list[Path]
) -> None:
    tab = opened(files[2], dark=True)
    shown = pixels(tab.screenshot(scale=0.25))
    middle = shown[len(shown) // 2 + 160]
    assert brightness(middle) > 150
    assert len(set(shown)) > 50


# The ratio of WCAG 2.2, 1.4.3, of each element with words of its own against what is behind it.
CONTRAST = """(() => {
    const parse = text => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map(c => c / 255)
            .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = e => {
        for (let at = e; at; at = at.parentElement) {
            const colour = parse(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll('body *:not(script)')]
        .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
        .filter(e => !e.closest('title, desc'))
        .map(e => {
            const style = getComputedStyle(e);
            const colour = parse(e.closest('svg') ? style.fill : style.color);
            const [low, high] = [light(colour), light(ground(e))].sort((a, b) => a - b);
            return [e.textContent.slice(0, 40), (high + 0.05) / (low + 0.05)];
        })
        .filter(([, ratio]) => ratio < 4.5);
})()"""
