import asyncio

import pytest
from structlog.testing import capture_logs

from services.common import background
from services.common.auth.principal import ANONYMOUS
from services.common.background import BackgroundTasks, ended, repeating, unending
from services.common.call import Call, current_call, enter_call
from tests.patience import PATIENCE_S


async def test_work_runs_beside_and_drain_waits_for_it() -> None:
    tasks, done = BackgroundTasks(at_most=1), asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0)
        done.set()

    assert tasks.start("work", work())
    assert not done.is_set()
    await tasks.drain(timeout_s=PATIENCE_S)
    assert done.is_set()


async def test_work_beyond_the_bound_is_refused_until_a_place_is_free() -> None:
    tasks, hold = BackgroundTasks(at_most=2), asyncio.Event()

    async def work() -> None:
        await hold.wait()

    assert tasks.start("first", work())
    assert tasks.start("second", work())
    assert not tasks.start("third", work())
    assert (tasks.size, tasks.refused) == (2, 1)
    hold.set()
    await tasks.drain(timeout_s=PATIENCE_S)
    assert tasks.start("fourth", work())
    await tasks.drain(timeout_s=PATIENCE_S)
    await asyncio.sleep(0)
    assert (tasks.size, tasks.refused) == (0, 1)


async def test_drain_cancels_what_takes_too_long() -> None:
    tasks, cancelled = BackgroundTasks(at_most=1), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    tasks.start("endless", work())
    await tasks.drain(timeout_s=0.01)
    assert cancelled.is_set()


async def test_draining_nothing_takes_no_time() -> None:
    await BackgroundTasks(at_most=1).drain(timeout_s=0)


async def test_a_failure_is_logged_and_raised_nowhere() -> None:
    tasks = BackgroundTasks(at_most=1)

    async def work() -> None:
        raise RuntimeError("oh no")

    with capture_logs() as logs:
        tasks.start("failing", work())
        await tasks.drain(timeout_s=PATIENCE_S)
    assert [(line["log_level"], line["work"]) for line in logs] == [("warning", "failing")]
    assert "oh no" in logs[0]["error"]


async def test_work_keeps_the_request_id_of_its_call_but_neither_deadline_nor_caller() -> None:
    tasks, seen = BackgroundTasks(at_most=1), list[Call]()

    async def work() -> None:
        seen.append(current_call())

    async def call() -> None:
        enter_call(Call("request-7", deadline=0.0))
        tasks.start("work", work())

    await asyncio.create_task(call())
    await tasks.drain(timeout_s=PATIENCE_S)
    (call_of_work,) = seen
    assert call_of_work.request_id == "request-7"
    assert call_of_work.deadline is None
    assert call_of_work.principal is ANONYMOUS


async def test_repeated_work_goes_on_after_a_failure_and_stops_at_the_end() -> None:
    runs = 0
    thrice = asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            thrice.set()
        raise RuntimeError("again")

    with capture_logs() as logs:
        async with repeating("work", work, interval_s=0.001):
            await asyncio.wait_for(thrice.wait(), PATIENCE_S)
    stopped_at = runs
    await asyncio.sleep(0.01)
    assert runs == stopped_at
    assert len(logs) == runs


@pytest.mark.parametrize("end", [None, RuntimeError("oh no"), asyncio.CancelledError()], ids=repr)
async def test_work_without_an_end_that_ends_all_the_same_begins_again(
    monkeypatch: pytest.MonkeyPatch, end: BaseException | None
) -> None:
    monkeypatch.setattr(background, "_RESTART_PAUSE_S", 0.0)
    ends: list[str] = []
    begun: list[str] = []
    thrice = asyncio.Event()

    async def work() -> None:
        begun.append("again")
        if len(begun) == 3:
            thrice.set()
            await asyncio.Event().wait()
        if end is not None:
            raise end

    with capture_logs() as logs:
        task = asyncio.create_task(unending("work", work, lambda: ends.append("end")))
        await asyncio.wait_for(thrice.wait(), PATIENCE_S)
        await ended([task])
    assert (len(begun), len(ends)) == (3, 2)
    assert [line["log_level"] for line in logs] == ["error", "error"]
    assert task.cancelled()


async def test_repeated_work_goes_on_after_something_in_it_was_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "_RESTART_PAUSE_S", 0.0)
    again = asyncio.Event()

    async def work() -> None:
        if not runs:
            runs.append(1)
            raise asyncio.CancelledError
        again.set()

    runs: list[int] = []
    with capture_logs():
        async with repeating("work", work, interval_s=0.001):
            await asyncio.wait_for(again.wait(), PATIENCE_S)


async def test_repeated_work_that_forgets_a_cancellation_ends_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "_CANCEL_AGAIN_S", 0.01)
    forgotten: list[str] = []
    begun = asyncio.Event()

    async def forget_once() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if forgotten:
                raise
            forgotten.append("once")

    async with asyncio.timeout(30), repeating("stubborn", forget_once, interval_s=0):
        await begun.wait()
    assert forgotten == ["once"]
