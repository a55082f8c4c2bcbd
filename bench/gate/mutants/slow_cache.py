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

_TRIES: Final = 1_000
_HANDLERS: Final = (
    (InventoryHandler, "GetProduct"),
    (OrderHandler, "ListUserOrders"),
    (UserHandler, "GetUserProfile"),
)


def mutate() -> None:
    """Let the handlers of cached reads be busy for longer, unless MongoDB is to answer."""
    anyway_ns = _cost_of_nothing_ns()
    busy_ns = {
        Freshness.NEAR: float(os.environ[NEAR_US]) * 1_000 - anyway_ns,
        Freshness.SHARED: float(os.environ[REDIS_US]) * 1_000 - anyway_ns,
    }
    for handler, method in _HANDLERS:
        setattr(handler, method, _slowed(getattr(handler, method), busy_ns))


def _slowed(answer: Callable[..., Any], busy_ns: dict[Freshness, float]) -> Callable[..., Any]:
    def burn() -> None:
        _burn(busy_ns.get(current_call().freshness, 0))

    def slowed(*arguments: Any) -> Any:
        burn()
        return answer(*arguments)

    async def slowed_coroutine(*arguments: Any) -> Any:
        burn()
        return await answer(*arguments)

    return slowed_coroutine if inspect.iscoroutinefunction(answer) else slowed


def _burn(busy_ns: float) -> None:
    """Be busy for so long, and for as long as looking at the clock takes."""
    end = thread_time_ns() + busy_ns
    while thread_time_ns() < end:
        pass


def _cost_of_nothing_ns() -> float:
    begun = thread_time_ns()
    for _ in range(_TRIES):
        _burn(0)
    return (thread_time_ns() - begun) / _TRIES
