import asyncio
import time
from time import monotonic

import pytest

from services.common.rpc.watchdog import TICK_S, Watch, Watchdog
from tests.patience import PATIENCE_S, until


class Watched:
    """A task that waits to be cancelled."""

    def __init__(self, watchdog: Watchdog, in_s: float) -> None:
        self.deadline = monotonic() + in_s
        self.task = asyncio.create_task(asyncio.Event().wait())
        self.watch = watchdog.watch(self.task, self.deadline)

    async def end(self) -> None:
        self.watch.release()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def end(watched: list[Watched]) -> None:
    await asyncio.gather(*(one.end() for one in watched))


async def test_a_task_is_cancelled_within_two_ticks_of_its_deadline_and_never_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_000.0
    monkeypatch.setattr("services.common.rpc.watchdog.monotonic", lambda: now)
    monkeypatch.setattr(Watchdog, "_wake_later", lambda *_: None)  # the test wakes it
    watchdog, loop = Watchdog(), asyncio.get_running_loop()
    deadlines = [now + n * TICK_S / 5 for n in range(30)]
    tasks = [asyncio.create_task(asyncio.Event().wait()) for _ in deadlines]
    watches = [
        watchdog.watch(task, deadline) for task, deadline in zip(tasks, deadlines, strict=True)
    ]
    while now < deadlines[-1] + 2 * TICK_S:
        now += TICK_S
        watchdog._wake(loop, now)
        for watch, deadline in zip(watches, deadlines, strict=True):
            assert watch.expired or now <= deadline + 2 * TICK_S
            assert not watch.expired or now >= deadline
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}


async def test_what_is_not_late_is_left_alone() -> None:
    watchdog = Watchdog()
    late, early = Watched(watchdog, 0.01), Watched(watchdog, 60)
    await asyncio.wait([late.task], timeout=PATIENCE_S)
    await asyncio.sleep(5 * TICK_S)
    assert late.watch.expired
    assert not early.watch.expired
    assert not early.task.done()
    await end([early])


async def test_a_deadline_that_has_passed_already_is_soon_seen() -> None:
    watchdog = Watchdog()
    running = Watched(watchdog, 60)
    await asyncio.sleep(3 * TICK_S)
    late = Watched(watchdog, -1)
    await asyncio.wait([late.task], timeout=PATIENCE_S)
    assert late.watch.expired
    await end([running])


async def test_a_task_that_is_released_is_never_cancelled() -> None:
    watchdog = Watchdog()
    released, other = Watched(watchdog, 0.02), Watched(watchdog, 0.02)
    released.watch.release()
    released.watch.release()
    await asyncio.wait([other.task], timeout=PATIENCE_S)
    await asyncio.sleep(3 * TICK_S)
    assert other.watch.expired
    assert not released.watch.expired
    assert not released.task.done()
    await end([released])


async def test_many_tasks_are_told_apart() -> None:
    watchdog = Watchdog()
    watched = [Watched(watchdog, 0.05 + n % 7 * 0.01) for n in range(3_000)]
    for one in watched[::3]:
        one.watch.release()
    await asyncio.wait([one.task for n, one in enumerate(watched) if n % 3], timeout=PATIENCE_S)
    await asyncio.sleep(3 * TICK_S)
    assert [one.watch.expired for one in watched] == [bool(n % 3) for n in range(3_000)]
    assert not any(one.task.done() for one in watched[::3])
    await end(watched[::3])


async def test_it_sleeps_while_there_is_nothing_to_watch_and_wakes_again() -> None:
    wakes: list[float] = []
    watchdog = Watchdog(wakes.append)
    for _ in range(2):
        one = Watched(watchdog, 60)
        await until(lambda: len(wakes) >= 2)
        await one.end()
        await asyncio.sleep(3 * TICK_S)
        wakes.clear()
        await asyncio.sleep(5 * TICK_S)
        assert wakes == []
    late = Watched(watchdog, 0.01)
    await asyncio.wait([late.task], timeout=PATIENCE_S)
    assert late.watch.expired


async def test_it_tells_how_far_the_loop_is_behind_and_when_that_is_over() -> None:
    lags: list[float] = []
    one = Watched(Watchdog(lags.append), 60)
    await asyncio.sleep(3 * TICK_S)
    time.sleep(0.2)  # noqa: ASYNC251 (that the loop stands still is the point)
    await asyncio.sleep(3 * TICK_S)
    assert max(lags) >= 0.2 - TICK_S
    await one.end()
    await asyncio.sleep(3 * TICK_S)
    assert lags[-1] == 0.0


@pytest.mark.parametrize("in_s", [0.0, 1e-9, TICK_S, 1.0])
async def test_a_task_that_ends_by_itself_is_not_touched(in_s: float) -> None:
    watchdog = Watchdog()

    async def quick() -> Watch:
        task = asyncio.current_task()
        assert task is not None
        watch = watchdog.watch(task, monotonic() + in_s)
        watch.release()
        return watch

    watch = await asyncio.create_task(quick())
    await asyncio.sleep(3 * TICK_S)
    assert not watch.expired
