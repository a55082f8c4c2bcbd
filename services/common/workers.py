"""Several processes of one service on one port, and the supervisor that keeps them going."""

import asyncio
import ctypes
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter

from services.common.background import repeating
from services.common.telemetry.exposition import exposed_over_http
from services.common.telemetry.workers import WorkerMetrics

INDEX_VARIABLE: Final = "SHOP_WORKER_INDEX"
SOCKET_VARIABLE: Final = "SHOP_WORKER_METRICS_SOCKET"
SUPERVISOR_VARIABLE: Final = "SHOP_WORKER_SUPERVISOR_PID"
SIGNS_VARIABLE: Final = "SHOP_WORKER_SIGNS_FD"
CANNOT_START: Final = 2
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_RESTART_PAUSE_S: Final = 0.2  # doubled with each death
_LONGEST_PAUSE_S: Final = 10.0
_STEADY_S: Final = 60.0  # who has run for so long begins anew
_SIGN_EVERY_S: Final = 1.0
_SILENT_S: Final = 10.0
_STARTS_WITHIN_S: Final = 60.0
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
    """Runs the workers, replaces those that die or hang, and stops them all on one signal."""

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
        self._silent = Counter(
            "shop_worker_silent",
            "Workers that were killed because their event loop gave no sign of life.",
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
        loop = asyncio.get_running_loop()
        pause_s = _RESTART_PAUSE_S
        while not self._stop.is_set():
            started = loop.time()
            signs, writer = os.pipe()
            try:
                process = await self._start(index, writer)
            finally:
                os.close(writer)
            code = await self._until_ended(index, process, signs)
            os.close(signs)
            if self._stop.is_set():
                return
            if code == CANNOT_START:
                self._exit_code = code
                self._stop.set()
                return
            if loop.time() - started >= _STEADY_S:
                pause_s = _RESTART_PAUSE_S
            self._deaths.inc()
            log.error(
                "worker died", worker=index, pid=process.pid, code=code, starts_again_in_s=pause_s
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _start(self, index: str, signs: int) -> asyncio.subprocess.Process:
        self._sockets[index].unlink(missing_ok=True)
        environment = {
            **os.environ,
            INDEX_VARIABLE: index,
            SUPERVISOR_VARIABLE: str(os.getpid()),
            SOCKET_VARIABLE: str(self._sockets[index]),
            SIGNS_VARIABLE: str(signs),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self._plan.module),
            env=environment,
            start_new_session=True,
            pass_fds=(signs,),
        )
        log.info("worker started", worker=index, pid=process.pid)
        return process

    async def _until_ended(
        self, index: str, process: asyncio.subprocess.Process, signs: int
    ) -> int:
        """Wait for the worker's end and return its exit code.

        One that falls silent is killed; once told to stop, it is drained and at last killed.
        """
        ended = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(self._stop.wait())
        silent = asyncio.create_task(_fallen_silent(signs))
        try:
            await asyncio.wait({ended, stopped, silent}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # another worker could not be started at all
            process.terminate()
            ended.cancel()
            raise
        finally:
            stopped.cancel()
            silent.cancel()
        if self._stop.is_set() and not ended.done():
            process.terminate()
            patience_s = self._plan.drain_timeout_s + _KILL_AFTER_DRAIN_S
            await asyncio.wait({ended}, timeout=patience_s)
        elif not ended.done():
            self._silent.inc()
            log.error("worker gives no sign of life: it is killed", worker=index, pid=process.pid)
        if not ended.done():
            process.kill()
        return await ended


async def _fallen_silent(signs: int) -> None:
    """Return when a worker has given no sign for too long.

    Only seconds in which this process ran are counted: what stops the machine stops both.
    """
    os.set_blocking(signs, False)
    left_s = _STARTS_WITHIN_S
    while left_s > 0:
        await asyncio.sleep(_SIGN_EVERY_S)
        left_s -= _SIGN_EVERY_S
        with suppress(BlockingIOError):
            if os.read(signs, 4096):
                left_s = _SILENT_S


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


async def giving_signs(work: Coroutine[Any, Any, None]) -> None:
    """Do the work of a worker, and tell its supervisor every second that the event loop runs."""
    signs = int(os.environ[SIGNS_VARIABLE])
    os.set_blocking(signs, False)

    async def sign() -> None:
        with suppress(OSError):  # the supervisor stands still, or is gone
            os.write(signs, b".")

    async with repeating("sign of life", sign, _SIGN_EVERY_S):
        await work


def end_with_supervisor() -> None:
    """End this worker when its supervisor ends, however that comes about (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(os.environ[SUPERVISOR_VARIABLE]):
        sys.exit(1)  # it ended before the line above
