"""What is known about the call being served, wherever the code is."""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from services.common.auth.principal import ANONYMOUS, Principal
from services.common.errors import DeadlineExceeded


@dataclass(slots=True)
class Call:
    """One call: its request id, who makes it, and when it must be over.

    ``deadline`` is in seconds of the event loop's clock; None outside a call.
    """

    request_id: str
    principal: Principal = ANONYMOUS
    deadline: float | None = None


_OUTSIDE: Final = Call(request_id="-")
_current: ContextVar[Call] = ContextVar("call", default=_OUTSIDE)


def current_call() -> Call:
    """Return the call being served by this task, or an anonymous one outside any."""
    return _current.get()


def enter_call(call: Call) -> None:
    """Make ``call`` the current one for this task and the tasks it starts."""
    _current.set(call)


def remaining_s(at_most_s: float) -> float:
    """Return how many seconds the current call has left, never more than ``at_most_s``.

    Raises ``DeadlineExceeded`` when none are.
    """
    deadline = _current.get().deadline
    if deadline is None:
        return at_most_s
    left = deadline - asyncio.get_running_loop().time()
    if left <= 0:
        raise DeadlineExceeded("the deadline of the call has passed")
    return min(left, at_most_s)
