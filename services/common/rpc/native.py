"""The native server: pygrpc-native 0.5 with two faults mended and a shorter way for unary calls."""

import asyncio
from functools import partial
from typing import Any, Final

import grpc
from pygrpc_native import EVENT_CANCEL, STREAM_CLOSED, STREAM_FULL
from pygrpc_native.aio import Server

OPTIONS: Final = (
    ("grpc.max_concurrent_streams", 100),  # so many answers may one connection leave unread
)
_NO_FAILURE: Final = (None, grpc.StatusCode.OK)
_LOOK_FOR_ROOM_S: Final = 0.5


class NativeServer(Server):
    """A server of unary coroutines, each reached without asking what kind of handler it is.

    It also forgets calls which were cancelled before their first step: pygrpc-native forgets a call
    at the end of its coroutine, and that of a task which is cancelled before it has run at all
    never begins, and so never ends.
    """

    def _on_events(self, events: list[tuple[Any, ...]]) -> None:
        super()._on_events(events)
        for event in events:
            if event[0] == EVENT_CANCEL:
                self._forget_at_end(event[1])

    def _forget_at_end(self, call_id: int) -> None:
        call = self._calls.get(call_id)
        if call is not None and call.task is not None:
            call.task.add_done_callback(partial(self._forget, call_id))

    def _forget(self, call_id: int, _task: object) -> None:
        self._calls.pop(call_id, None)

    async def _run_unary(self, call: Any, context: Any, request: Any) -> None:
        try:
            response = await call.handler.unary_unary(request, context)
        except Exception as error:  # noqa: BLE001 (the client gets its status)
            self._failed(call, context, error)
            return
        if context.code() not in _NO_FAILURE:
            self._fail(call, context, None)
            return
        encoded = self._encode(call, context, response)
        if encoded is not None and self._front is not None:
            initial = context._initial_metadata  # noqa: SLF001
            self._front.respond(
                call.call_id,
                encoded,
                initial_metadata=None if initial is None else list(initial),
                trailing_metadata=list(context.trailing_metadata()),
            )

    async def _send(self, call: Any, context: Any, response: Any) -> bool:
        encoded = self._encode(call, context, response)
        front = self._front
        if encoded is None or front is None:
            return False
        context._initial_sent = True  # noqa: SLF001
        while True:  # nobody tells when there is room
            sent = front.stream_try_send(call.call_id, encoded)
            if sent != STREAM_FULL:
                return bool(sent != STREAM_CLOSED)
            await asyncio.sleep(_LOOK_FOR_ROOM_S)
