"""Round trips that know for whom they are made."""

from collections.abc import Collection, Hashable
from contextvars import Context
from typing import Any

from services.common.batching import Answer, Batch, Batcher, Key, Run
from services.common.tracing.waiting import Waiting, distinct, round_trip, who_waits_for


class TracedBatcher(Batcher[Key, Answer]):
    """Notes which spans wait for each key, so that what the round trip asks becomes part of them.

    A round trip that another one asks for is made for those who wait for its keys.
    """

    def __init__(self, run: Run[Key, Answer], at_most: int, **options: Any) -> None:
        super().__init__(run, at_most, **options)
        self._waiting_for: dict[Batch[Key, Answer], dict[Hashable, Waiting]] = {}

    def join(self, keys: Collection[Key]) -> Batch[Key, Answer]:
        """Add keys to the next round trip, and who waits for them."""
        batch = super().join(keys)
        noted = self._waiting_for.setdefault(batch, {})
        for key in keys:
            noted[key] = distinct((noted.get(key, ()), who_waits_for((key,))))
        return batch

    def _context(self, batch: Batch[Key, Answer]) -> Context:
        context = super()._context(batch)
        context.run(round_trip.set, self._waiting_for.pop(batch))
        return context
