"""What is answered from a cache takes longer: by how much, the environment says."""

import inspect
import os
from collections.abc import Callable
from typing import Any, Final

from bench.gate.mutants import NEAR_US, REDIS_US
from bench.gate.mutants.burn import burn, turns_in
from services.common.call import current_call
from services.common.freshness import Freshness
from services.inventory.handler import InventoryHandler
from services.order.handler import OrderHandler
from services.user.handler import UserHandler

_HANDLERS: Final = (
    (InventoryHandler, "GetProduct"),
    (OrderHandler, "ListUserOrders"),
    (UserHandler, "GetUserProfile"),
)


def mutate() -> None:
    """Let the handlers of cached reads be busy for longer, unless MongoDB is to answer."""
    turns = {
        Freshness.NEAR: turns_in(float(os.environ[NEAR_US])),
        Freshness.SHARED: turns_in(float(os.environ[REDIS_US])),
    }
    for handler, method in _HANDLERS:
        setattr(handler, method, _slowed(getattr(handler, method), turns))


def _slowed(answer: Callable[..., Any], turns: dict[Freshness, int]) -> Callable[..., Any]:
    def slow_down() -> None:
        burn(turns.get(current_call().freshness, 0))

    def slowed(*arguments: Any) -> Any:
        slow_down()
        return answer(*arguments)

    async def slowed_coroutine(*arguments: Any) -> Any:
        slow_down()
        return await answer(*arguments)

    return slowed_coroutine if inspect.iscoroutinefunction(answer) else slowed
