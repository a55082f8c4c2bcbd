"""The file of limits: what it says, and what is wrong with it."""

from pathlib import Path

import pytest

from bench.gate.limits import Budget, Crowd, RatioLimit, UnusableLimitsError, read_limits

GOOD = """
calibrated = "abc"
[budgets.GetProduct]
near = { queries = 0, redis = 0 }
[budgets.CreateOrder]
new = { queries = 11, redis = 4, peers = 3 }
[refused]
queries = 0
redis = 0
[crowd]
calls = 64
at_most = 8
[[ratios]]
arm = "GetProduct near"
to = "echo"
at_most = 1.3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "limits.toml"


def test_the_limits_of_this_code_are_readable() -> None:
    limits = read_limits()
    assert limits.budgets["GetProduct.near"] == Budget(0, 0)
    assert {"echo", "GetProduct uncached"} <= {limit.to for limit in limits.ratios}


def test_limits_are_read_whole(file: Path) -> None:
    file.write_text(GOOD)
    limits = read_limits(file)
    assert limits.calibrated == "abc"
    assert limits.budgets == {
        "GetProduct.near": Budget(0, 0),
        "CreateOrder.new": Budget(11, 4, 3),
    }
    assert limits.refused == Budget(0, 0)
    assert limits.crowd == Crowd(64, 8)
    assert limits.ratios == [RatioLimit("GetProduct near", "echo", 1.3)]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("queries = 11", "queries = -1", "budgets.CreateOrder.new.queries: must be a whole number"),
        ("queries = 11", "queries = true", "budgets.CreateOrder.new.queries: must be a whole"),
        ("queries = 11, ", "", "budgets.CreateOrder.new: lacks queries"),
        ("peers = 3", "friends = 3", "budgets.CreateOrder.new: has no friends"),
        ("new = { queries = 11, redis = 4, peers = 3 }", "new = 11", "new: must be a table"),
        ("at_most = 1.3", 'at_most = "1.3"', r"ratios\[0\].at_most: must be a number above 0"),
        ("at_most = 1.3", "at_most = 0", r"ratios\[0\].at_most: must be a number above 0"),
        ('arm = "GetProduct near"', "arm = 1", r"ratios\[0\].arm: must be the name of an arm"),
        ('to = "echo"\n', "", r"ratios\[0\]: lacks to"),
        ("[[ratios]]", "[ratios]", "ratios: must be an array"),
        ('calibrated = "abc"', "calibrated = 1", "calibrated: must be the name of a commit"),
        ("[crowd]", "[crowds]", "lacks crowd"),
        ("[crowd]", "[crowd", "limits.toml"),
    ],
)
def test_what_is_wrong_is_named(file: Path, before: str, after: str, said: str) -> None:
    assert before in GOOD
    file.write_text(GOOD.replace(before, after))
    with pytest.raises(UnusableLimitsError, match=said):
        read_limits(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableLimitsError, match="nowhere"):
        read_limits(tmp_path / "nowhere.toml")
