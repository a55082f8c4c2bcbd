"""What continuous integration runs, and what it makes of it."""

from hypothesis import given, settings
from hypothesis import strategies as st


def examples(profile: str) -> list[int]:
    """What Hypothesis tries under a profile."""
    tried: list[int] = []

    @settings(settings.get_profile(profile), database=None)
    @given(st.integers(0, 2**60))
    def try_it(number: int) -> None:
        tried.append(number)

    try_it()
    return tried


def test_examples_are_the_same_in_the_fast_tier_and_random_and_more_in_the_slow_one() -> None:
    assert examples("fixed") == examples("fixed")
    first, second = examples("random"), examples("random")
    assert len(set(first) & set(second)) < 100
    assert len(first) > 5 * len(examples("fixed"))
