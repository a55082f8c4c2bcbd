import pytest

from services.common.cache.breaker import Breaker, BreakerState
from tests.unit.common.fakes import FakeClock

CLOSED, SETTLING, OPEN = BreakerState.CLOSED, BreakerState.SETTLING, BreakerState.OPEN
REFUSED, TIMED_OUT = "refused", "timed out"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> Breaker:
    return Breaker(settle_s=2.0, clock=clock)


def fail(breaker: Breaker, *failures: str) -> BreakerState:
    for failure in failures:
        breaker.failed(timed_out=failure is TIMED_OUT)
    return breaker.state


def test_it_is_closed_at_first(breaker: Breaker) -> None:
    assert (breaker.state, breaker.closed, breaker.opened) == (CLOSED, True, 0)


@pytest.mark.parametrize(
    ("failures", "state"),
    [
        ([REFUSED, REFUSED], CLOSED),
        ([REFUSED, REFUSED, REFUSED], OPEN),
        ([TIMED_OUT], CLOSED),
        ([TIMED_OUT, TIMED_OUT], OPEN),
        ([TIMED_OUT, REFUSED], OPEN),
        ([REFUSED, TIMED_OUT], OPEN),
    ],
)
def test_three_failures_in_a_row_open_it_and_a_timeout_weighs_two(
    breaker: Breaker, failures: list[str], state: BreakerState
) -> None:
    assert fail(breaker, *failures) is state
    assert breaker.closed is (state is CLOSED)


def test_an_answer_between_failures_makes_them_count_anew(breaker: Breaker) -> None:
    for _ in range(10):
        fail(breaker, REFUSED, REFUSED)
        breaker.succeeded()
        fail(breaker, TIMED_OUT)
        breaker.succeeded()
    assert breaker.state is CLOSED


def test_open_it_stays_whatever_answers_until_it_has_recovered(
    breaker: Breaker, clock: FakeClock
) -> None:
    breaker.open()
    breaker.succeeded()
    clock.now += 3600
    assert breaker.state is OPEN
    breaker.recovered()
    assert breaker.state is SETTLING


def test_recovered_it_settles_before_it_closes(breaker: Breaker, clock: FakeClock) -> None:
    breaker.open()
    breaker.recovered()
    clock.now += 1.9
    breaker.recovered()
    assert (breaker.state, breaker.closed) == (SETTLING, False)
    clock.now += 0.1
    assert (breaker.state, breaker.closed) == (CLOSED, True)


def test_one_failure_while_it_settles_opens_it_again(breaker: Breaker, clock: FakeClock) -> None:
    breaker.open()
    breaker.recovered()
    assert fail(breaker, REFUSED) is OPEN
    clock.now += 10
    assert breaker.state is OPEN


def test_once_it_has_closed_again_it_takes_three_failures_to_open(
    breaker: Breaker, clock: FakeClock
) -> None:
    fail(breaker, TIMED_OUT, TIMED_OUT)
    breaker.recovered()
    clock.now += 2
    assert breaker.closed
    assert fail(breaker, REFUSED, REFUSED) is CLOSED
    assert fail(breaker, REFUSED) is OPEN


def test_a_recovery_of_what_is_closed_changes_nothing(breaker: Breaker) -> None:
    fail(breaker, REFUSED, REFUSED)
    breaker.recovered()
    assert breaker.state is CLOSED
    assert fail(breaker, REFUSED) is OPEN


def test_each_time_that_it_opens_it_is_counted_and_told(clock: FakeClock) -> None:
    told: list[float] = []
    breaker = Breaker(2.0, clock, on_open=lambda: told.append(clock.now))
    fail(breaker, TIMED_OUT, TIMED_OUT, TIMED_OUT)
    breaker.open()
    assert len(told) == breaker.opened == 1
    breaker.recovered()
    fail(breaker, REFUSED)
    assert len(told) == breaker.opened == 2
