"""The native server, with a leak of pygrpc-native 0.5 stopped."""

from functools import partial
from typing import Any

from pygrpc_native import EVENT_CANCEL
from pygrpc_native.aio import Server


class NativeServer(Server):
    """A server that also forgets calls which were cancelled before their first step.

    pygrpc-native forgets a call at the end of its coroutine; that of a task which is cancelled
    before it has run at all never begins, and so never ends.
    """

    def _on_events(self, events: list[tuple[Any, ...]]) -> None:
        super()._on_events(events)
        for kind, call_id, *_ in events:
            call = self._calls.get(call_id) if kind == EVENT_CANCEL else None
            if call is not None and call.task is not None:
                call.task.add_done_callback(partial(self._forget, call_id))

    def _forget(self, call_id: int, _task: object) -> None:
        self._calls.pop(call_id, None)
