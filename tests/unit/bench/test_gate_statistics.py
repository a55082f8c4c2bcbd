"""Medians, their intervals, and tests of a difference."""

import random
from math import inf

import pytest

from bench.gate.statistics import holm, median_interval, sign_test


def test_a_median_lies_between_bounds_that_are_among_the_values() -> None:
    found = median_interval([float(n) for n in range(1, 101)])
    assert found.middle == 50.5
    assert (found.low, found.high) == (37.0, 64.0)  # ranks 37 and 64 of 100 cover 99.3 %


def test_too_few_values_bound_nothing() -> None:
    assert median_interval([1.0] * 7).low == -inf
    assert median_interval([1.0] * 7).high == inf
    assert median_interval([1.0] * 8).low == 1.0  # 1 - 2 / 2 ** 8 is above 99 %


def test_an_interval_covers_the_true_median_as_often_as_it_says() -> None:
    chance = random.Random(1)  # noqa: S311
    missed = 0
    for _ in range(2_000):
        values = [chance.lognormvariate(0, 0.3) for _ in range(41)]  # whose median is 1
        found = median_interval(values)
        missed += not found.low <= 1 <= found.high
    assert missed < 40  # 1 % of 2,000 are 20


def test_an_interval_does_not_mind_a_few_wild_values() -> None:
    calm = [1 + n / 1000 for n in range(100)]
    wild = [*calm[:-5], *[1_000.0] * 5]
    assert median_interval(wild) == median_interval(calm)


def test_as_many_above_as_below_are_no_difference() -> None:
    assert sign_test([0.9, 1.1] * 20) == 1.0


def test_all_on_one_side_are_a_difference() -> None:
    assert sign_test([1.01] * 10) == pytest.approx(2 / 2**10)
    assert sign_test([0.99] * 10 + [1.0] * 5) == pytest.approx(2 / 2**10)


def test_nothing_measured_is_no_difference() -> None:
    assert sign_test([]) == 1.0


def test_several_tests_are_corrected_by_their_rank() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
