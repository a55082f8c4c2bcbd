"""gRPC's own server, with bounds on clients that neither finish their requests nor read answers."""

from asyncio import AbstractEventLoop, CancelledError, current_task, get_running_loop
from collections import Counter
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Final

import grpc
from grpc import aio
from grpc.aio._server import Server

from services.common.rpc.watchdog import Watchdog

OPTIONS: Final = (
    ("grpc.max_concurrent_streams", 1_000),
    ("grpc.max_connection_idle_ms", 60_000),  # answers that nobody reads end with it
)
ARRIVES_WITHIN_S: Final = 5.0
MAX_UNREAD_BYTES: Final = 64 * 1024 * 1024
MAX_UNREAD_BYTES_OF_ONE: Final = 8 * 1024 * 1024
_SMALL: Final = 4 * 1024


class GrpcioServer(Server):
    """A server that ends unary calls whose request does not arrive in time, or not at all.

    The library waits for the request of a unary method before it calls anything, without a bound.
    On the wire such a method is like one that takes a stream, which reads its requests itself.
    It also keeps answers that a client does not read, without a bound: here large ones are refused
    once so many bytes wait to be read, on one connection or on all.
    """

    def __init__(self, options: Any, arrives_within_s: float = ARRIVES_WITHIN_S) -> None:
        super().__init__(None, (), (), options, None, None)
        self._within_s = arrives_within_s
        self._watchdog = Watchdog()
        self._unread: Counter[str] = Counter()

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[Any]) -> None:
        """Add the methods of some services."""
        super().add_generic_rpc_handlers([_Reading(h, self._bounded) for h in generic_rpc_handlers])

    def add_registered_method_handlers(self, service_name: str, method_handlers: Any) -> None:
        """Add nothing: what generated code adds in this way, it has added in the general one."""

    def _bounded(self, handler: Any) -> Any:
        if handler.request_streaming or handler.response_streaming:
            return handler
        method, watchdog, within_s = handler.unary_unary, self._watchdog, self._within_s
        serialize = handler.response_serializer or bytes
        loop: AbstractEventLoop | None = None

        async def serve(_requests: object, context: Any) -> Any:
            nonlocal loop
            if loop is None:
                loop = get_running_loop()
            task: Any = current_task(loop)
            watch = watchdog.watch(task, monotonic() + within_s)
            try:
                request = await context.read()
            except CancelledError:
                if not watch.expired or task.uncancel():
                    raise
                late = f"the request did not arrive within {within_s:g} s"
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, late)
            finally:
                watch.release()
            if request is aio.EOF:
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the call has no request")
            answer = serialize(await method(request, context))
            if len(answer) > _SMALL:
                await self._keep(len(answer), context, task)
            return answer

        return grpc.stream_unary_rpc_method_handler(serve, handler.request_deserializer)

    async def _keep(self, size: int, context: Any, task: Any) -> None:
        """Count an answer until its task ends, when it has been read; refuse one too many."""
        unread, connection = self._unread, context.peer()
        of_one, of_all = unread[connection] + size, sum(unread.values()) + size
        if of_one > MAX_UNREAD_BYTES_OF_ONE or of_all > MAX_UNREAD_BYTES:
            refusal = "too many answers wait to be read"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, refusal)
        unread[connection] = of_one
        task.add_done_callback(lambda _task: self._read(connection, size))

    def _read(self, connection: str, size: int) -> None:
        self._unread[connection] -= size
        if not self._unread[connection]:
            del self._unread[connection]


class _Reading(grpc.GenericRpcHandler):
    """The handlers of another one, each changed once."""

    def __init__(self, handlers: grpc.GenericRpcHandler, change: Callable[[Any], Any]) -> None:
        self._handlers = handlers
        self._change = change
        self._changed: dict[str, Any] = {}

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a method, if it is there."""
        name = handler_call_details.method
        changed = self._changed.get(name)
        if changed is None:
            handler = self._handlers.service(handler_call_details)
            if handler is None:
                return None
            changed = self._changed[name] = self._change(handler)
        return changed
