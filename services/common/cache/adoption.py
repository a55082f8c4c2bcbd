"""Making sure of a Redis that was not there before, before anything is read from it.

A server that was restarted from a snapshot, or a replica that was promoted, may hold values that
were forgotten elsewhere, and leases that were taken back. So what it holds is deleted, by whoever
comes first, who then leaves a mark that says under which reign that was done. Later reigns carry
the mark with them and are not those that it names.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from redis.exceptions import ConnectionError as RedisConnectionError

from services.common.cache.breaker import SETTLE_S
from services.common.cache.shared import ALL, Names
from services.common.redis.servers import RedisServers

_EMPTIED_WITHIN_S: Final = 30.0


def mark_of(prefix: str) -> str:
    """Return the key under which the reigns stand whose values of this prefix are not too old."""
    return f"adopted:{prefix}"


class NotAdoptedYetError(RedisConnectionError):
    """Somebody may still use the server that was there before."""


class Adoption:
    """Has servers trusted once nothing old is left in them."""

    def __init__(
        self, redis: RedisServers, names: Names, clock: Callable[[], float] = monotonic
    ) -> None:
        self._redis = redis
        self._names = names
        self._clock = clock
        self._mark = mark_of(names.prefix)
        self._adopted: frozenset[str] | None = None
        self._met: frozenset[str] = frozenset()
        self._met_at = 0.0

    async def adopt(self, reigns: frozenset[str]) -> None:
        """Trust servers of these reigns, all there are, if need be after deleting what they hold.

        Raises NotAdoptedYetError for 1 s where others were before, until nobody uses those any
        more, and what Redis raises. The mark is renewed whenever it is gone.
        """
        text = "\n".join(sorted(reigns))
        noted = await self._redis.noted(self._mark)
        if noted != text:
            if reigns != self._adopted:
                await self._empty(reigns, noted)
            await self._redis.note(self._mark, text)
        if reigns != self._adopted:
            await self._redis.trust(reigns)
            self._adopted = reigns

    async def _empty(self, reigns: frozenset[str], noted: str | None) -> None:
        known = frozenset[str]()
        if noted is not None:
            self._wait_for_others(reigns)
            known = frozenset(noted.splitlines())
        strangers = reigns - known
        if strangers:
            async with asyncio.timeout(_EMPTIED_WITHIN_S):
                await self._redis.delete(self._names.lease_key(ALL), strangers)
                await self._redis.delete(self._names.key(ALL), strangers)

    def _wait_for_others(self, reigns: frozenset[str]) -> None:
        now = self._clock()
        if reigns != self._met:
            self._met, self._met_at = reigns, now
        if now < self._met_at + SETTLE_S:
            raise NotAdoptedYetError("others may still use the Redis that was there before")
