"""How a supervisor tells a worker that hangs from one that is busy, and one that cannot stay up."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from services.common import workers
from services.common.workers import Supervisor, WorkerPlan, giving_signs
from tests.patience import PATIENCE_S

SILENT_S = 2.0
BEHAVIOUR = "WORKER_OF_A_TEST"


def behave() -> None:
    """Be a worker that is busy for a moment again and again, hangs, or dies."""
    workers._SIGN_EVERY_S = 0.05  # type: ignore[misc]
    asyncio.run(giving_signs(_BEHAVIOURS[os.environ[BEHAVIOUR]]()))


async def _busy() -> None:
    while True:
        time.sleep(SILENT_S / 4)  # noqa: ASYNC251 (that the loop stands still is the point)
        await asyncio.sleep(0.1)


async def _hung() -> None:
    await asyncio.sleep(0.1)
    threading.Event().wait()


async def _dying() -> None:
    sys.exit(3)


_BEHAVIOURS: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
    "busy": _busy,
    "hung": _hung,
    "dying": _dying,
}


@asynccontextmanager
async def supervised(
    behaviour: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Supervisor]:
    monkeypatch.setenv(BEHAVIOUR, behaviour)
    monkeypatch.setattr(workers, "_SIGN_EVERY_S", 0.05)
    monkeypatch.setattr(workers, "_SILENT_S", SILENT_S)
    supervisor = Supervisor(WorkerPlan(__name__, 1, "127.0.0.1", 0, 0.1), folder)
    running = asyncio.create_task(supervisor.run())
    try:
        yield supervisor
    finally:
        supervisor._stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await running
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)


async def until_logged(logs: Sequence[EventDict], event: str, times: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while sum(line["event"] == event for line in logs) < times:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def figure(supervisor: Supervisor, name: str) -> float | None:
    return supervisor.registry.get_sample_value(name)


async def test_a_worker_that_hangs_is_killed_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logs:
        async with supervised("hung", tmp_path, monkeypatch) as supervisor:
            await until_logged(logs, "worker started", 2)
            assert figure(supervisor, "shop_worker_silent_total") == 1
            assert figure(supervisor, "shop_worker_deaths_total") == 1


async def test_a_worker_that_is_busy_for_moments_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logs:
        async with supervised("busy", tmp_path, monkeypatch) as supervisor:
            await until_logged(logs, "worker started", 1)
            await asyncio.sleep(SILENT_S)
            assert figure(supervisor, "shop_worker_silent_total") == 0
            assert figure(supervisor, "shop_worker_deaths_total") == 0


async def test_what_stops_the_supervisor_too_is_no_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "_SIGN_EVERY_S", 0.05)
    monkeypatch.setattr(workers, "_STARTS_WITHIN_S", SILENT_S)
    reader, writer = os.pipe()
    waiting = asyncio.create_task(workers._fallen_silent(reader))
    await asyncio.sleep(0)
    time.sleep(SILENT_S * 1.5)  # noqa: ASYNC251 (nobody runs)
    await asyncio.sleep(0.1)
    assert not waiting.done()
    async with asyncio.timeout(PATIENCE_S):
        await waiting
    os.close(reader)
    os.close(writer)


async def test_a_worker_that_dies_at_once_is_started_ever_more_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_RESTART_PAUSE_S", 0.01)
    monkeypatch.setattr(workers, "_LONGEST_PAUSE_S", 0.05)
    with capture_logs() as logs:
        async with supervised("dying", tmp_path, monkeypatch):
            await until_logged(logs, "worker died", 5)
    pauses = [line["starts_again_in_s"] for line in logs if line["event"] == "worker died"]
    assert pauses[:5] == [0.01, 0.02, 0.04, 0.05, 0.05]


async def test_a_worker_that_ran_for_a_while_is_started_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_RESTART_PAUSE_S", 0.01)
    monkeypatch.setattr(workers, "_STEADY_S", 0.0)
    with capture_logs() as logs:
        async with supervised("dying", tmp_path, monkeypatch):
            await until_logged(logs, "worker died", 3)
    pauses = [line["starts_again_in_s"] for line in logs if line["event"] == "worker died"]
    assert set(pauses) == {0.01}


if __name__ == "__main__":
    behave()
