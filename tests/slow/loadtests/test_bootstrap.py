"""The ratio of medians and its interval."""

import random
from collections import Counter

import pytest

from loadtests.bootstrap import ratio_of_medians


def blocks(median: float, seed: int, count: int = 60, calls: int = 60) -> list[Counter[int]]:
    by = random.Random(seed)  # noqa: S311
    return [
        Counter(round(by.lognormvariate(0, 0.3) * median) for _ in range(calls))
        for _ in range(count)
    ]


def test_the_ratio_is_that_of_the_medians() -> None:
    base = [Counter({3000: 1}), Counter({3000: 3, 9000: 1})]
    other = [Counter({1000: 2}), Counter({1000: 1, 500: 1})]
    ratio = ratio_of_medians(base, other, seed=1)
    assert ratio is not None
    assert ratio.value == 3.0


def test_the_interval_holds_the_truth_nineteen_times_of_twenty() -> None:
    held = 0
    for seed in range(24):
        ratio = ratio_of_medians(blocks(3_000, seed), blocks(1_000, 1_000 + seed), seed, 200)
        assert ratio is not None
        held += ratio.low <= 3.0 <= ratio.high
    assert held >= 21


def test_more_calls_make_it_narrower() -> None:
    few = ratio_of_medians(blocks(3_000, 1, count=8), blocks(1_000, 2, count=8), 1, 200)
    many = ratio_of_medians(blocks(3_000, 1, count=128), blocks(1_000, 2, count=128), 1, 200)
    assert few is not None
    assert many is not None
    assert many.high - many.low < (few.high - few.low) / 2


def test_stretches_that_differ_make_it_wider_than_calls_that_do() -> None:
    # The same calls; in one case the slow ones of both arms come in different stretches.
    mixed = [Counter({1_000: 30, 3_000: 30}) for _ in range(20)]
    steady = [Counter({1_000: 60}) for _ in range(20)]
    apart = [Counter({1_000: 60}) if n % 2 else Counter({3_000: 60}) for n in range(20)]
    narrow, wide = ratio_of_medians(mixed, steady, 1), ratio_of_medians(apart, steady, 1)
    assert narrow is not None
    assert wide is not None
    assert narrow.high - narrow.low < wide.high - wide.low == pytest.approx(2.0)


def test_what_slows_both_arms_of_a_stretch_leaves_the_ratio() -> None:
    slow = [1 if n % 2 else 10 for n in range(30)]
    ratio = ratio_of_medians(
        [Counter({2_000 * n: 10}) for n in slow], [Counter({1_000 * n: 10}) for n in slow], 1
    )
    assert ratio is not None
    assert (ratio.low, ratio.value, ratio.high) == (2.0, 2.0, 2.0)


def test_one_seed_makes_one_interval() -> None:
    base, other = blocks(3_000, 1), blocks(1_000, 2)
    assert ratio_of_medians(base, other, 5) == ratio_of_medians(base, other, 5)


def test_without_calls_there_is_no_ratio() -> None:
    assert ratio_of_medians([Counter()], [Counter({1: 1})], 1) is None
    assert ratio_of_medians([], [], 1) is None


def test_a_stretch_without_calls_of_one_arm_counts_for_the_other() -> None:
    ratio = ratio_of_medians([Counter({4: 1}), Counter()], [Counter({2: 1}), Counter({2: 1})], 1)
    assert ratio is not None
    assert ratio.value == 2.0
