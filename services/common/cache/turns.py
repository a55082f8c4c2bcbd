"""Waiting for what somebody else loads."""

import asyncio
from collections.abc import Iterable
from typing import Final

_FIRST_PAUSE_S: Final = 0.002
_LONGEST_PAUSE_S: Final = 0.025


class Turns:
    """Readers who wait, key by key, until it is worth asking again.

    All who wait for one key go on together, so that they ask together.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    async def wait(self, value_id: str, attempt: int) -> None:
        """Wait until the value came, or a pause is over that grows from attempt to attempt."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting.get(value_id)
        if waiting is None:
            waiting = self._waiting[value_id] = []
            pause_s = min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)
            loop.call_later(pause_s, self.come, (value_id,))
        turn = loop.create_future()
        waiting.append(turn)
        await turn

    def come(self, value_ids: Iterable[str]) -> None:
        """Let everybody go on who waits for these values."""
        for value_id in value_ids:
            for turn in self._waiting.pop(value_id, ()):
                if not turn.done():
                    turn.set_result(None)
