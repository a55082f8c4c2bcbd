"""Arms, the proof that they are what they claim, and what is printed of them."""

from collections import Counter

import pytest

from bench.arms import ECHO, NAIVE_CACHED, NEAR, REDIS, UNCACHED, Arm, Claim, NotWhatItClaimsError
from bench.cache_keys import Size
from bench.cache_keys import table as keys_table
from bench.cache_report import origins, ratio, table
from bench.load import Outcome
from bench.stores import Asked
from tests.unit.bench.test_tables import rows

NOBODY = Asked(0, 0)


def measured(claim: Claim, sources: dict[str, int], mongo: int = 0, redis: int = 0) -> Arm:
    calls = sum(sources.values())
    arm = Arm("arm", claim)
    arm.note(Outcome(calls, 1.0, 0.1, Counter(sources)), 0.5, NOBODY, Asked(mongo, redis))
    return arm


def compared() -> list[Arm]:
    """An empty call, a near read and a naive one, in rounds that differ."""
    return [
        Arm("echo", ECHO, cpu_us=[50.0, 100.0, 60.0], rate=[1_000, 3_000, 2_000]),
        Arm("near", NEAR, "naive", cpu_us=[55.0, 110.0, 90.0], rate=[900, 2_900, 1_900]),
        Arm("naive", NAIVE_CACHED, cpu_us=[495.0, 990.0, 720.0], rate=[90, 80, 70]),
    ]


def test_a_round_is_taken_in_by_the_call() -> None:
    arm = measured(NEAR, {"near": 1_000}, mongo=3, redis=7)
    arm.note(
        Outcome(500, 0.5, 0.1, Counter({"near": 490, "redis": 10})), 0.1, Asked(3, 7), Asked(4, 9)
    )
    assert arm.cpu_us == [500.0, 200.0]
    assert arm.rate == [1_000.0, 1_000.0]
    assert (arm.calls, arm.seconds, arm.mongo, arm.redis) == (1_500, 1.5, 4, 9)
    assert arm.sources == {"near": 1_490, "redis": 10}


@pytest.mark.parametrize(
    ("claim", "sources", "mongo", "redis"),
    [
        (ECHO, {"none": 10_000}, 0, 0),
        (NEAR, {"near": 10_000}, 0, 0),
        (NEAR, {"near": 9_800, "redis": 150, "mongo": 50}, 20, 300),
        (REDIS, {"redis": 9_900, "mongo": 100}, 10, 500),
        (UNCACHED, {"bypass": 10_000}, 300, 0),
        (NAIVE_CACHED, {"none": 10_000}, 0, 10_000),
    ],
)
def test_an_arm_that_is_what_it_claims_passes(
    claim: Claim, sources: dict[str, int], mongo: int, redis: int
) -> None:
    measured(claim, sources, mongo, redis).check()


@pytest.mark.parametrize(
    ("claim", "sources", "mongo", "redis"),
    [
        pytest.param(NEAR, {"none": 10_000}, 0, 0, id="an answer that says nothing"),
        pytest.param(NEAR, {"near": 9_000, "redis": 1_000}, 0, 500, id="too often from farther"),
        pytest.param(REDIS, {"redis": 9_999, "near": 1}, 0, 500, id="once from nearer"),
        pytest.param(UNCACHED, {"bypass": 9_999, "mongo": 1}, 300, 0, id="once through the cache"),
        pytest.param(NEAR, {"near": 10_000}, 0, 5_000, id="near, but Redis was asked"),
        pytest.param(NEAR, {"near": 10_000}, 5_000, 0, id="near, but MongoDB was asked"),
        pytest.param(REDIS, {"redis": 10_000}, 0, 0, id="Redis was not asked"),
        pytest.param(UNCACHED, {"bypass": 10_000}, 0, 0, id="MongoDB was not asked"),
        pytest.param(NAIVE_CACHED, {"none": 10_000}, 9_000, 10_000, id="naive, all missed"),
        pytest.param(ECHO, {"near": 10_000}, 0, 0, id="an empty call that read"),
    ],
)
def test_an_arm_that_is_not_what_it_claims_gives_no_figures(
    claim: Claim, sources: dict[str, int], mongo: int, redis: int
) -> None:
    with pytest.raises(NotWhatItClaimsError, match="arm: "):
        measured(claim, sources, mongo, redis).check()


def test_arms_are_compared_round_by_round() -> None:
    echo, near, naive = compared()
    assert ratio(near, echo) == pytest.approx(1.1)
    assert ratio(naive, near) == pytest.approx(9.0)


def test_the_table_has_each_arm_beside_the_empty_call_and_the_naive_one() -> None:
    head, line, *body = rows(table(compared()))
    assert len(head) == len(line)
    assert body == [
        ["echo", "60.0 us", "1.00", "", "2,000"],
        ["near", "90.0 us", "1.10", "9.0 x", "1,900"],
        ["naive", "720.0 us", "9.90", "", "80"],
    ]


def test_the_origins_have_shares_and_what_the_stores_were_asked() -> None:
    arm = measured(NEAR, {"near": 990, "redis": 10}, mongo=5, redis=20)
    assert rows(origins([arm]))[2:] == [["arm", "near 99.0%, redis 1.0%", "0.020", "0.005"]]


def test_the_cost_of_a_hit_stands_by_the_number_of_keys() -> None:
    echo, near, naive = compared()
    size = Size(100_000, [echo, near, near, naive], 30 * 2**20)
    assert rows(keys_table([size]))[2:] == [
        ["100,000", "90.0 us (1.10)", "90.0 us (1.10)", "720.0 us (9.90)", "30 MiB"]
    ]
