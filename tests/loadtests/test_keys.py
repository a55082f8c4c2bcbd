"""Which keys are asked for, and when."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from loadtests.arrivals import Arrivals, Punctuality
from loadtests.zipf import Zipf

DRAWS = 20_000


def drawn(keys: Zipf[int], seed: int = 1) -> Counter[int]:
    by = random.Random(seed)  # noqa: S311
    return Counter(keys.draw(by) for _ in range(DRAWS))


def test_the_most_popular_key_is_drawn_twice_as_often_as_the_next() -> None:
    (_, first), (_, second), (_, third) = drawn(Zipf(range(100), 1.0, seed=3)).most_common(3)
    assert first / second == pytest.approx(2, rel=0.15)
    assert first / third == pytest.approx(3, rel=0.15)


def test_an_exponent_of_zero_draws_all_alike() -> None:
    counts = drawn(Zipf(range(10), 0.0, seed=3))
    assert min(counts.values()) > 0.85 * DRAWS / 10


def test_the_seed_decides_which_keys_are_popular() -> None:
    def favourite(seed: int) -> int:
        return drawn(Zipf(range(1000), 1.2, seed)).most_common(1)[0][0]

    assert favourite(1) == favourite(1)
    assert len({favourite(seed) for seed in range(5)}) > 1


def test_the_same_seed_draws_the_same_keys() -> None:
    def sequence(seed: int) -> list[int]:
        by = random.Random(seed)  # noqa: S311
        keys = Zipf(range(50), 1.0, seed=1)
        return [keys.draw(by) for _ in range(100)]

    assert sequence(7) == sequence(7) != sequence(8)


def test_several_keys_of_one_draw_differ_and_are_at_most_all() -> None:
    keys = Zipf(range(5), 2.0, seed=1)
    assert sorted(keys.draw_several(random.Random(1), 9)) == [0, 1, 2, 3, 4]  # noqa: S311
    assert len(set(keys.draw_several(random.Random(1), 3))) == 3  # noqa: S311


def test_nothing_cannot_be_drawn_from() -> None:
    with pytest.raises(ValueError, match="nothing"):
        Zipf([], 1.0, seed=1)


def schedule(seed: str, count: int, rate: float = 100.0) -> list[float]:
    arrivals = Arrivals(rate, seed)
    return [arrivals.take(0.0) for _ in range(count)]


def test_arrivals_come_at_the_rate_with_exponential_gaps() -> None:
    moments = schedule("1/0", 10_001)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(0.01, rel=0.05)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.1)  # as it is for a Poisson process


def test_one_seed_makes_one_schedule() -> None:
    assert schedule("1/0", 50) == schedule("1/0", 50) != schedule("1/1", 50)


def test_a_schedule_does_not_wait_for_those_who_take_from_it() -> None:
    prompt, tardy = Arrivals(10, "a"), Arrivals(10, "a")
    assert [prompt.take(0.0) for _ in range(5)] == [tardy.take(5.0 * late) for late in range(5)]


def test_another_rate_holds_from_the_next_gap() -> None:
    arrivals = Arrivals(1.0, "1")
    arrivals.take(0.0)
    arrivals.take(0.0)
    arrivals.set_rate(1_000_000)
    begin = arrivals.take(0.0)
    assert arrivals.take(0.0) - begin < 0.01


def test_what_nobody_took_is_counted() -> None:
    arrivals, same = Arrivals(100, "s"), Arrivals(100, "s")
    arrivals.take(0.0)
    moments = [same.take(0.0) for _ in range(300)]
    assert arrivals.skip(1.0) == sum(moment <= 1.0 for moment in moments[1:])
    assert arrivals.skip(1.0) == 0


def test_before_the_first_arrival_nothing_is_due() -> None:
    assert Arrivals(100, "s").skip(1e9) == 0


def test_starts_are_late_after_ten_milliseconds_and_told_apart_by_reason() -> None:
    kept = Punctuality()
    kept.add(0.002, unattended=True)
    kept.add(0.020, unattended=True)
    kept.add(0.030, unattended=False)
    other = Punctuality()
    other.add(0.5, unattended=False)
    kept.merge(other)
    assert kept == Punctuality(started=4, late=3, unattended=1, worst_s=0.5)
