"""Work beside the calls: tasks that somebody waits for in the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog

from services.common.call import Call, current_call, enter_call

_CANCEL_AGAIN_S: Final = 0.5
_RESTART_PAUSE_S: Final = 1.0

Work = Coroutine[Any, Any, None]

log = structlog.get_logger()


def as_it_is(_name: str, work: Work) -> Work:
    """Put nothing round the work."""
    return work


class BackgroundTasks:
    """A bounded number of tasks that outlive the call that started them.

    They keep its request id and are free of its deadline. ``around`` is put round each of them,
    under its name.
    """

    def __init__(self, at_most: int, around: Callable[[str, Work], Work] = as_it_is) -> None:
        self._at_most = at_most
        self._around = around
        self._tasks: set[asyncio.Task[None]] = set()
        self.refused = 0

    @property
    def size(self) -> int:
        """How many are under way."""
        return len(self._tasks)

    def start(self, name: str, work: Work) -> bool:
        """Start the work and return True, or refuse it and return False when all places are taken.

        What the work raises is logged under ``name``.
        """
        if len(self._tasks) >= self._at_most:
            work.close()
            self.refused += 1
            return False
        task = asyncio.create_task(_detached(name, self._around(name, work)), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def drain(self, timeout_s: float) -> None:
        """Wait for what is running, and cancel what takes longer than ``timeout_s``."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


@asynccontextmanager
async def repeating(
    name: str, work: Callable[[], Awaitable[object]], interval_s: float
) -> AsyncIterator[None]:
    """Run the work every ``interval_s`` seconds until the end; a failure is logged, not the end."""

    async def loop() -> None:
        while True:
            await _logged(name, work())
            await asyncio.sleep(interval_s)

    task = asyncio.create_task(unending(name, loop), name=name)
    try:
        yield
    finally:
        await ended([task])


async def unending(
    name: str,
    work: Callable[[], Awaitable[object]],
    on_end: Callable[[], object] = lambda: None,
) -> None:
    """Run work that has no end until this task is cancelled.

    Should it end all the same, cancelled by something inside it for example, ``on_end`` is called,
    and after a pause it begins again.
    """
    task = asyncio.current_task()
    while True:
        error: BaseException | None = None
        try:
            await work()
        except (Exception, asyncio.CancelledError) as raised:
            if task is None or task.cancelling():
                raise
            error = raised
        on_end()
        log.error("background work ended, it begins again", work=name, error=repr(error))
        await asyncio.sleep(_RESTART_PAUSE_S)


async def ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended. What they raise counts as seen.

    Once is not enough: PyMongo's operations sometimes forget a cancellation on Python 3.11.
    """
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=_CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)


async def until_one_ends(works: Sequence[Awaitable[None]]) -> None:
    """Run all until one ends, end the others, and raise what ended it, if anything."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _detached(name: str, work: Awaitable[None]) -> None:
    enter_call(Call(request_id=current_call().request_id))
    await _logged(name, work)


async def _logged(name: str, work: Awaitable[object]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 (the last stop of a task nobody awaits)
        log.warning("background work failed", work=name, error=repr(error))
