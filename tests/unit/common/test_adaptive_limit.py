"""How the limit follows latencies. The figures here are far from what tuning may move."""

import pytest

from services.common.rpc.adaptive_limit import WINDOW_CALLS, AdaptiveLimit, MethodLatency

UNHURRIED_S = 0.05


def windows(
    limit: AdaptiveLimit,
    method: MethodLatency,
    elapsed_s: float,
    count: int = 1,
    in_flight: int | None = None,
) -> None:
    """Let so many windows of calls pass, with as many in flight as may be unless given."""
    for _ in range(count * WINDOW_CALLS):
        limit.learn(method, elapsed_s, limit.value if in_flight is None else in_flight)


@pytest.fixture
def limit() -> AdaptiveLimit:
    return AdaptiveLimit(50, at_least=5, at_most=100)


@pytest.fixture
def method(limit: AdaptiveLimit) -> MethodLatency:
    """A method whose unhurried latency is known."""
    method = limit.method()
    windows(limit, method, UNHURRIED_S, in_flight=1)
    return method


def test_it_grows_while_it_is_used_and_nobody_waits(
    limit: AdaptiveLimit, method: MethodLatency
) -> None:
    before = limit.value
    windows(limit, method, UNHURRIED_S, 5)
    assert before < limit.value


def test_it_stays_while_it_is_not_used(limit: AdaptiveLimit, method: MethodLatency) -> None:
    windows(limit, method, UNHURRIED_S, 20, in_flight=1)
    assert limit.value == 50


def test_it_shrinks_when_calls_take_longer(limit: AdaptiveLimit, method: MethodLatency) -> None:
    windows(limit, method, 10 * UNHURRIED_S, 3)
    assert limit.value <= 40


def test_it_recovers_when_calls_are_quick_again(
    limit: AdaptiveLimit, method: MethodLatency
) -> None:
    windows(limit, method, 10 * UNHURRIED_S, 10)
    low = limit.value
    windows(limit, method, UNHURRIED_S, 30)
    assert low < limit.value


def test_it_never_leaves_its_bounds(limit: AdaptiveLimit, method: MethodLatency) -> None:
    windows(limit, method, 100 * UNHURRIED_S, 40, in_flight=100)
    assert limit.value == 5
    windows(limit, method, UNHURRIED_S, 400)
    assert limit.value == 100


def test_a_fixed_limit_stays(method: MethodLatency) -> None:
    limit = AdaptiveLimit(7, at_least=7, at_most=7)
    fixed = limit.method()
    for elapsed_s in (UNHURRIED_S, 100 * UNHURRIED_S, UNHURRIED_S):
        windows(limit, fixed, elapsed_s, 5, in_flight=7)
        assert limit.value == 7


def test_a_slow_method_beside_a_fast_one_is_no_overload(limit: AdaptiveLimit) -> None:
    fast, slow = limit.method(), limit.method()
    before = limit.value
    for _ in range(10 * WINDOW_CALLS):
        limit.learn(fast, 0.001, limit.value)
        limit.learn(slow, 1.0, limit.value)
    assert before < limit.value


def test_a_single_slow_call_is_no_overload(limit: AdaptiveLimit, method: MethodLatency) -> None:
    before = limit.value
    for _ in range(10):
        for _ in range(WINDOW_CALLS - 1):
            limit.learn(method, UNHURRIED_S, limit.value)
        limit.learn(method, 100 * UNHURRIED_S, limit.value)
    assert before < limit.value


def test_quick_calls_may_take_a_little_longer_without_being_held_back(
    limit: AdaptiveLimit,
) -> None:
    method = limit.method()
    windows(limit, method, 0.0005, in_flight=1)
    before = limit.value
    windows(limit, method, 0.005, 10)
    assert before < limit.value


def test_a_world_that_became_slower_is_accepted_slowly(
    limit: AdaptiveLimit, method: MethodLatency
) -> None:
    windows(limit, method, 4 * UNHURRIED_S, 20)
    soon = limit.value
    windows(limit, method, 4 * UNHURRIED_S, 3_000)
    assert soon < 30 < limit.value
