"""Several processes of one service on one port, and the supervisor that keeps them going."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter

from services.common.telemetry.exposition import exposed_over_http
from services.common.telemetry.workers import WorkerMetrics

INDEX_VARIABLE: Final = "SHOP_WORKER_INDEX"
SOCKET_VARIABLE: Final = "SHOP_WORKER_METRICS_SOCKET"
SUPERVISOR_VARIABLE: Final = "SHOP_WORKER_SUPERVISOR_PID"
CANNOT_START: Final = 2
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_RESTART_PAUSE_S: Final = 0.2
_KILL_AFTER_DRAIN_S: Final = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What to run, how many times, and where the figures of all are served."""

    module: str
    count: int
    metrics_host: str
    metrics_port: int
    drain_timeout_s: float


class Supervisor:
    """Runs the workers, replaces those that die, and stops them all on one signal."""

    def __init__(self, plan: WorkerPlan, folder: Path) -> None:
        self._plan = plan
        self._sockets = {str(index): folder / f"{index}.sock" for index in range(plan.count)}
        self._stop = asyncio.Event()
        self._exit_code = 0
        self.registry = CollectorRegistry()
        self.registry.register(WorkerMetrics(self._sockets))
        self._deaths = Counter(
            "shop_worker_deaths",
            "Workers that ended without being told to.",
            registry=self.registry,
        )

    async def run(self) -> int:
        """Supervise until SIGTERM or SIGINT and return the exit code for this process.

        It is 0 after a drain, and that of a worker which says that it cannot start.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with asyncio.TaskGroup() as group:
            for index in self._sockets:
                group.create_task(self._keep_running(index))
        return self._exit_code

    async def _keep_running(self, index: str) -> None:
        while not self._stop.is_set():
            process = await self._start(index)
            code = await self._until_ended(process)
            if self._stop.is_set():
                return
            if code == CANNOT_START:
                self._exit_code = code
                self._stop.set()
                return
            self._deaths.inc()
            log.error("worker died", worker=index, pid=process.pid, code=code)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _RESTART_PAUSE_S)

    async def _start(self, index: str) -> asyncio.subprocess.Process:
        self._sockets[index].unlink(missing_ok=True)
        environment = {
            **os.environ,
            INDEX_VARIABLE: index,
            SUPERVISOR_VARIABLE: str(os.getpid()),
            SOCKET_VARIABLE: str(self._sockets[index]),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._plan.module, env=environment, start_new_session=True
        )
        log.info("worker started", worker=index, pid=process.pid)
        return process

    async def _until_ended(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the worker's end; once told to stop, drain it and at last kill it."""
        ended = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # another worker could not be started at all
            process.terminate()
            ended.cancel()
            raise
        finally:
            stopped.cancel()
        if not ended.done():
            process.terminate()
            patience_s = self._plan.drain_timeout_s + _KILL_AFTER_DRAIN_S
            _, late = await asyncio.wait({ended}, timeout=patience_s)
            if late:
                process.kill()
        return await ended


async def supervise(plan: WorkerPlan) -> int:
    """Run the workers of a service until told to stop and return the exit code."""
    with tempfile.TemporaryDirectory(prefix="shop-workers-") as folder:
        supervisor = Supervisor(plan, Path(folder))
        async with _exposed(supervisor, plan):
            return await supervisor.run()


@asynccontextmanager
async def _exposed(supervisor: Supervisor, plan: WorkerPlan) -> AsyncIterator[None]:
    if not plan.metrics_port:
        yield
        return
    async with exposed_over_http(supervisor.registry, plan.metrics_host, plan.metrics_port):
        yield


def end_with_supervisor() -> None:
    """End this worker when its supervisor ends, however that comes about (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(os.environ[SUPERVISOR_VARIABLE]):
        sys.exit(1)  # it ended before the line above
