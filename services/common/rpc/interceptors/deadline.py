"""How long a call may take."""

from asyncio import AbstractEventLoop, CancelledError, Task, current_task, get_running_loop
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

from services.common.call import own_call
from services.common.errors import DeadlineExceeded
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.methods import Context, Method
from services.common.rpc.watchdog import Watchdog

DEFAULT_MAX_S: Final = 5.0


class DeadlineInterceptor(MethodInterceptor):
    """Ends a call at the client's deadline or after the method's maximum, whichever is first.

    ``max_s`` gives the maximum, in seconds, of methods by name; 5 s for the others.
    """

    def __init__(self, max_s: Mapping[str, float], watchdog: Watchdog | None = None) -> None:
        self._max_s = max_s
        self._watchdog = watchdog or Watchdog()

    def bind(self, method: Method, method_name: str) -> Method:
        """Return the method, cancelled with DeadlineExceeded when its time is over."""
        max_s = self._max_s.get(method_name.rpartition("/")[2], DEFAULT_MAX_S)
        watchdog = self._watchdog
        loop: AbstractEventLoop | None = None

        async def call(request: Any, context: Context) -> Any:
            nonlocal loop
            client_s: float | None = context.time_remaining()
            allowed_s = max_s if client_s is None or client_s > max_s else client_s
            # Finding out which loop runs takes a system call each time: a fifth of an empty call.
            task = None if loop is None else current_task(loop)
            if task is None:
                loop = get_running_loop()
                task = _serving_task(loop)
            this = own_call(context)
            this.deadline = deadline = monotonic() + allowed_s
            watch = watchdog.watch(task, deadline)
            try:
                return await method(request, context)
            except CancelledError:
                if watch.expired and task.uncancel() == 0:
                    raise DeadlineExceeded("the deadline of the call has passed") from None
                raise
            finally:
                watch.release()

        return call


def _serving_task(loop: AbstractEventLoop) -> Task[Any]:
    task = current_task(loop)
    if task is None:
        raise RuntimeError("a call is served by a task")
    return task
