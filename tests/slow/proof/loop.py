"""An event loop that stands still whenever it can: nothing happens in it unless it is let."""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, TypeVarTuple, Unpack

Arguments = TypeVarTuple("Arguments")


class StillLoop(asyncio.BaseEventLoop):
    """Runs what is ready, on demand; its clock moves on demand, too. It knows no files."""

    def __init__(self) -> None:
        super().__init__()
        self._handles: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self._now = 0.0
        self.faults: list[dict[str, Any]] = []
        """What nobody took care of."""

    def time(self) -> float:
        return self._now

    def call_soon(
        self,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._handles.append(handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.faults.append(context)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Be the running loop of this thread."""
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)
            self.close()

    def settle(self) -> None:
        """Run until nothing is ready."""
        while self._handles:
            handle = self._handles.popleft()
            if not handle.cancelled():
                handle._run()

    def begin_anew(self) -> None:
        """Let everything end that was told to, forget the rest, and set the clock back."""
        self.settle()
        self.faults.clear()
        self._timers.clear()
        self._now = 0.0

    def move_on(self, seconds: float) -> None:
        """Let so much time pass, with all that happens meanwhile."""
        until = self._now + seconds
        while self._timers and self._timers[0][0] <= until:
            self._now, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled():
                self._handles.append(timer)
                self.settle()
        self._now = until

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it where it is: it is passed over."""
