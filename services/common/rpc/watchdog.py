"""Ending calls whose time is over, for next to nothing per call."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

TICK_S: Final = 0.02


class Watch:
    """One watched task; ``expired`` once it was cancelled for being late."""

    __slots__ = ("_slot", "expired", "task")

    def __init__(self, task: asyncio.Task[Any], slot: "set[Watch]") -> None:
        self.task = task
        self.expired = False
        self._slot = slot

    def release(self) -> None:
        """Stop watching the task."""
        self._slot.discard(self)


class Watchdog:
    """Cancels tasks within 40 ms after their deadline.

    Deadlines are gathered in slots of that length, so that watching a task costs two set
    operations instead of a timer (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels",
    1987). It wakes up only while there is something to watch, and tells ``on_lag`` how late it
    wakes, in seconds: so far is the event loop behind.
    """

    def __init__(self, on_lag: Callable[[float], None] = lambda _lag_s: None) -> None:
        self._slots: dict[int, set[Watch]] = {}
        self._passed = 0
        self._on_lag = on_lag
        self._running = False

    def watch(self, task: asyncio.Task[Any], deadline: float) -> Watch:
        """Cancel the task once the monotonic clock has passed ``deadline``, unless released."""
        number = int(deadline / TICK_S)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._open(number)
        watch = Watch(task, slot)
        slot.add(watch)
        return watch

    def _open(self, number: int) -> set[Watch]:
        if not self._running:
            self._running = True
            self._passed = int(monotonic() / TICK_S) - 1
            self._wake_later(asyncio.get_running_loop())
        return self._slots.setdefault(max(number, self._passed + 1), set())

    def _wake_later(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(TICK_S, self._wake, loop, monotonic() + TICK_S)

    def _wake(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = monotonic()
        self._on_lag(max(0.0, now - due))
        self._passed = int(now / TICK_S) - 1
        for number in [number for number in self._slots if number <= self._passed]:
            for watch in self._slots.pop(number):
                watch.expired = True
                watch.task.cancel()
        if any(self._slots.values()):
            self._wake_later(loop)
        else:
            self._slots.clear()
            self._running = False
            self._on_lag(0.0)
