import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from services.common.errors import DeadlineExceeded, DomainError, NotFound
from services.common.rpc import load_gauge
from services.common.rpc.adaptive_limit import WINDOW_CALLS, AdaptiveLimit, MethodLatency
from services.common.rpc.interceptors.concurrency_limit import (
    ConcurrencyLimitInterceptor,
    Overloaded,
)
from services.common.rpc.load_gauge import LoadGauge
from services.common.rpc.methods import Context
from tests.unit.common.fakes import FakeClock, FakeContext

LONG_S = 30.0


class Gate:
    """A method whose calls wait, each until it is let go, and answer with their request."""

    def __init__(self) -> None:
        self.served: list[Any] = []
        self._doors: dict[Any, asyncio.Event] = {}

    async def __call__(self, request: Any, context: Context) -> Any:
        self.served.append(request)
        door = self._doors[request] = asyncio.Event()
        await door.wait()
        return request

    def let_go(self, request: Any) -> None:
        self._doors[request].set()


class Limited:
    """A limited method and the calls made to it."""

    def __init__(
        self, at_once: int, queue_size: int = 3, queue_timeout_s: float = LONG_S, method: Any = None
    ) -> None:
        self.gate = Gate()
        self.load = LoadGauge()
        self.limit = AdaptiveLimit(at_once, at_least=at_once, at_most=at_once)
        self.limiter = ConcurrencyLimitInterceptor(
            self.limit, self.load, queue_size, queue_timeout_s
        )
        self._method = self.limiter.bind(method or self.gate, "/shop.Test/Do")
        self.calls: dict[Any, asyncio.Task[Any]] = {}

    async def make(self, *requests: Any) -> None:
        """Make these calls and let them come as far as they come."""
        for request in requests:
            call = self._method(request, FakeContext().context)
            self.calls[request] = asyncio.ensure_future(call)
        await settle()

    async def let_go(self, *requests: Any) -> None:
        for request in requests:
            self.gate.let_go(request)
        await settle()

    async def end(self) -> None:
        for call in self.calls.values():
            call.cancel()
        await asyncio.gather(*self.calls.values(), return_exceptions=True)
        assert (self.limiter.in_flight, self.limiter.queued) == (0, 0)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_as_many_calls_as_the_limit_says_are_served_at_once_and_the_rest_in_order() -> None:
    limited = Limited(2)
    await limited.make(1, 2, 3, 4, 5)
    assert limited.gate.served == [1, 2]
    assert (limited.limiter.in_flight, limited.limiter.queued) == (2, 3)
    await limited.let_go(2)
    assert limited.gate.served == [1, 2, 3]
    await limited.let_go(1, 3)
    assert limited.gate.served == [1, 2, 3, 4, 5]
    await limited.let_go(4, 5)
    assert [await call for call in limited.calls.values()] == [1, 2, 3, 4, 5]
    await limited.end()
    assert limited.limiter.refused == 0


async def test_who_comes_while_others_wait_does_not_overtake_them() -> None:
    limited = Limited(1)
    await limited.make(1, 2)
    limited.limit.value = 2  # it has grown, and nobody has been let in since
    await limited.make(3)
    await limited.let_go(1)
    assert limited.gate.served == [1, 2, 3]
    await limited.end()


async def test_beyond_the_queue_calls_are_refused_at_once() -> None:
    limited = Limited(1, queue_size=2)
    await limited.make(1, 2, 3, 4, 5)
    for request in (4, 5):
        assert isinstance(limited.calls[request].exception(), Overloaded)
    assert limited.limiter.refused == 2
    assert limited.gate.served == [1]
    await limited.end()


async def test_a_refused_client_is_told_when_to_come_back() -> None:
    limited = Limited(1, queue_size=0)
    await limited.make(1, 2)
    refusal = limited.calls[2].exception()
    assert isinstance(refusal, Overloaded)
    assert refusal.retry_delay_s > 0
    await limited.end()


async def test_who_waits_too_long_is_refused_and_gives_the_place_in_the_queue_up() -> None:
    limited = Limited(1, queue_size=1, queue_timeout_s=0.05)
    await limited.make(1, 2)
    async with asyncio.timeout(LONG_S / 2):
        with pytest.raises(Overloaded):
            await limited.calls[2]
    assert (limited.limiter.in_flight, limited.limiter.queued) == (1, 0)
    limited.limiter._queue_timeout_s = LONG_S
    await limited.make(3)
    assert limited.limiter.queued == 1
    await limited.let_go(1)
    assert limited.gate.served == [1, 3]
    await limited.end()


async def test_a_waiter_that_is_cancelled_leaves_the_queue() -> None:
    limited = Limited(1)
    await limited.make(1, 2, 3)
    limited.calls[2].cancel()
    await settle()
    assert limited.limiter.queued == 1
    await limited.let_go(1)
    assert limited.gate.served == [1, 3]
    assert limited.calls[2].cancelled()
    await limited.end()
    assert limited.limiter.refused == 0


async def test_a_waiter_that_is_cancelled_as_it_is_let_in_gives_its_place_on() -> None:
    limited = Limited(1)
    await limited.make(1, 2, 3)
    limited.gate.let_go(1)
    asyncio.get_running_loop().call_soon(limited.calls[2].cancel)  # it has its place by then
    await settle()
    assert limited.calls[2].cancelled()
    assert limited.gate.served == [1, 3]
    await limited.end()


async def test_a_place_is_not_given_to_a_waiter_that_was_cancelled_a_moment_ago() -> None:
    limited = Limited(1)
    await limited.make(1, 2, 3)
    limited.gate.let_go(1)
    limited.calls[2].cancel()  # before either of them has run on
    await settle()
    assert await limited.calls[1] == 1
    assert limited.calls[2].cancelled()
    assert limited.gate.served == [1, 3]
    await limited.end()


@pytest.mark.parametrize("error", [RuntimeError(), asyncio.CancelledError(), KeyError()])
async def test_however_a_call_ends_its_place_is_free_again(error: BaseException) -> None:
    async def failing(request: Any, context: Context) -> Any:
        raise error

    limited = Limited(1, method=failing)
    for request in range(3 * WINDOW_CALLS):
        await limited.make(request)
        with pytest.raises(type(error)):
            await limited.calls[request]
    await limited.end()


async def test_nothing_is_lost_when_everything_happens_at_once() -> None:
    limited = Limited(4, queue_size=8, queue_timeout_s=0.01, method=_nap)
    for wave in range(30):
        await limited.make(*((wave, n) for n in range(20)))
        for n in range(0, 20, 3):
            limited.calls[wave, n].cancel()
        await asyncio.sleep(0.004)
    ends = await asyncio.gather(*limited.calls.values(), return_exceptions=True)
    kinds = {type(end) for end in ends}
    assert kinds <= {tuple, Overloaded, asyncio.CancelledError}
    assert limited.limiter.refused == sum(isinstance(end, Overloaded) for end in ends)
    await limited.end()


async def _nap(request: Any, context: Context) -> Any:
    await asyncio.sleep(0.003)
    return request


async def test_the_limit_learns_from_the_calls_that_it_lets_in() -> None:
    limit = AdaptiveLimit(4, at_least=1, at_most=100)
    limiter = ConcurrencyLimitInterceptor(limit, LoadGauge(), 100, LONG_S)

    async def quick(request: Any, context: Context) -> Any:
        await asyncio.sleep(0)

    method = limiter.bind(quick, "/shop.Test/Do")
    for _ in range(20 * WINDOW_CALLS):
        await asyncio.gather(*(method(n, FakeContext().context) for n in range(4)))
    assert limiter.limit > 4


@pytest.mark.parametrize(("error", "learns"), [(DeadlineExceeded, True), (NotFound, False)])
async def test_the_limit_learns_from_calls_that_were_too_late_and_from_no_other_failures(
    error: type[DomainError],
    learns: bool,  # noqa: FBT001
) -> None:
    learned: list[float] = []

    class Noting(AdaptiveLimit):
        def learn(self, method: MethodLatency, elapsed_s: float, in_flight: int) -> None:
            learned.append(elapsed_s)

    async def fails(request: Any, context: Context) -> Any:
        raise error("expected")

    limiter = ConcurrencyLimitInterceptor(Noting(4, 1, 100), LoadGauge(), 100, LONG_S)
    method = limiter.bind(fails, "/shop.Test/Do")
    for n in range(WINDOW_CALLS):
        with pytest.raises(error):
            await method(n, FakeContext().context)
    assert bool(learned) is learns


# ---- a loop that is behind


async def test_while_the_loop_is_far_behind_every_call_is_refused_at_once() -> None:
    limited = Limited(10)
    limited.load.overloaded = True
    await limited.make(1)
    assert isinstance(limited.calls[1].exception(), Overloaded)
    assert (limited.limiter.in_flight, limited.limiter.refused) == (0, 1)
    limited.load.notice(0.0)
    await limited.make(2)
    assert limited.gate.served == [2]
    await limited.end()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(load_gauge, "time", SimpleNamespace(monotonic=clock))
    return clock


def behind(load: LoadGauge, clock: FakeClock, lag_s: float, for_s: float) -> None:
    """Let the loop be behind for so long, noticed every 20 ms."""
    end = clock.now + for_s
    while clock.now < end:
        load.notice(lag_s)
        clock.now += 0.02
    load.notice(lag_s)


def test_a_short_lag_is_no_overload(clock: FakeClock) -> None:
    load = LoadGauge()
    behind(load, clock, LoadGauge.TARGET_S / 2, LoadGauge.INTERVAL_S * 1.5)
    assert not load.overloaded
    assert load.lag_s == LoadGauge.TARGET_S / 2


def test_one_pause_is_no_overload_however_long(clock: FakeClock) -> None:
    load = LoadGauge()
    for pause_s in (LoadGauge.INTERVAL_S, 5.0):
        clock.now += pause_s
        load.notice(pause_s)
        assert not load.overloaded
        clock.now += 0.02
        load.notice(0.0)
        assert not load.overloaded


def test_a_lag_that_lasts_is_overload_until_it_is_over(clock: FakeClock) -> None:
    load = LoadGauge()
    load.notice(LoadGauge.TARGET_S)
    assert not load.overloaded
    behind(load, clock, LoadGauge.TARGET_S, LoadGauge.INTERVAL_S)
    assert load.overloaded
    load.notice(LoadGauge.TARGET_S / 2)
    assert not load.overloaded
    load.notice(LoadGauge.TARGET_S)
    assert not load.overloaded


async def test_methods_without_a_limit_are_let_in_however_much_there_is_to_do() -> None:
    limiter = ConcurrencyLimitInterceptor(
        AdaptiveLimit(1, at_least=1, at_most=1), LoadGauge(), 0, LONG_S, unlimited=["Step"]
    )

    async def answer(request: Any, context: Context) -> Any:
        return request

    gate = Gate()
    occupying = asyncio.ensure_future(
        limiter.bind(gate, "/shop.Test/Do")("first", FakeContext().context)
    )
    await settle()
    assert await limiter.bind(answer, "/shop.Test/Step")("step", FakeContext().context) == "step"
    with pytest.raises(Overloaded):
        await limiter.bind(answer, "/shop.Test/Do")("second", FakeContext().context)
    gate.let_go("first")
    await occupying
