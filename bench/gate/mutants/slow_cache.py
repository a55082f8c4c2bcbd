"""What is answered from a cache takes longer: by how much, the environment says."""

import inspect
import os
from collections.abc import Callable
from time import thread_time_ns
from typing import Any, Final

from bench.gate.mutants import NEAR_US, REDIS_US
from services.common.call import current_call
from services.common.freshness import Freshness
from services.inventory.handler import InventoryHandler
from services.order.handler import OrderHandler
from services.user.handler import UserHandler

_TRIES: Final = 20
_TURNS: Final = 100_000
_HANDLERS: Final = (
    (InventoryHandler, "GetProduct"),
    (OrderHandler, "ListUserOrders"),
    (UserHandler, "GetUserProfile"),
)


def mutate() -> None:
    """Let the handlers of cached reads be busy for longer, unless MongoDB is to answer."""
    turn_us = _turn_us()
    turns = {
        Freshness.NEAR: round(float(os.environ[NEAR_US]) / turn_us),
        Freshness.SHARED: round(float(os.environ[REDIS_US]) / turn_us),
    }
    for handler, method in _HANDLERS:
        setattr(handler, method, _slowed(getattr(handler, method), turns))


def _slowed(answer: Callable[..., Any], turns: dict[Freshness, int]) -> Callable[..., Any]:
    def burn() -> None:
        _burn(turns.get(current_call().freshness, 0))

    def slowed(*arguments: Any) -> Any:
        burn()
        return answer(*arguments)

    async def slowed_coroutine(*arguments: Any) -> Any:
        burn()
        return await answer(*arguments)

    return slowed_coroutine if inspect.iscoroutinefunction(answer) else slowed


def _burn(turns: int) -> None:
    # By turns and not by the clock: asking for CPU time is a system call, and dearer than it says.
    for _ in range(turns):
        pass


def _turn_us() -> float:
    """Return what a turn takes, in microseconds: the least of several tries."""
    tries = []
    for _ in range(_TRIES):
        begun = thread_time_ns()
        _burn(_TURNS)
        tries.append((thread_time_ns() - begun) / _TURNS / 1_000)
    return min(tries)
