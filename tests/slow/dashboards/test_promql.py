"""What the tests make of an expression: were they blind, they would find nothing wrong."""

import pytest

from tests.slow.dashboards.support.promql import Matcher, Selector, selectors


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("up", [Selector("up", ())]),
        ("max by (job) (a) > 5 * max by (job) (b)", [Selector("a", ()), Selector("b", ())]),
        ("sum(rate(a_total[5m])) or vector(0)", [Selector("a_total", ())]),
        ("x / ignoring (layer) group_left sum(y)", [Selector("x", ()), Selector("y", ())]),
        ("absent(up{job='u'})", [Selector("up", ())]),
        ('a{x="1"} unless b{y!="2"}', [
            Selector("a", (Matcher("x", ("1",)),)),
            Selector("b", (Matcher("y", ("2",)),)),
        ]),
        ('rate(a{x=~"b|c", y!~".+"}[1m]) * 0', [
            Selector("a", (Matcher("x", ("b", "c")), Matcher("y", ()))),
        ]),
    ],
)  # fmt: skip
def test_selectors_are_found_and_nothing_else(expression: str, expected: list[Selector]) -> None:
    assert list(selectors(expression)) == expected
