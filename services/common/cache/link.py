"""Hearing of every invalidation, and knowing that none is missing.

A subscription alone proves nothing while it is silent. So the link asks for an echo again and
again: what Redis published before it answered came before the answer. What was near when the
question went out is as good as that moment, and may be served for one lease from then on.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic, time
from typing import Any, Final, Generic

import structlog
from redis.asyncio import Connection

from services.common.background import until_one_ends
from services.common.cache.breaker import Breaker
from services.common.cache.figures import CacheFigures
from services.common.cache.near import Near
from services.common.cache.shared import ALL, channel
from services.common.redis.faults import kept_cancellations, lost_connections
from services.common.redis.servers import RedisServers
from services.common.snapshot import Value

_ECHOES_PER_LEASE: Final = 5
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0

log = structlog.get_logger()


class InvalidationLink(Generic[Value]):
    """Keeps a near cache valid for as long as every invalidation is heard, and else empty.

    There is a connection to every primary of a cluster, so that what one publishes is heard
    whatever becomes of the ways between them. When there are other primaries, all begins anew.
    """

    def __init__(
        self,
        redis: RedisServers,
        near: Near[Value],
        breaker: Breaker,
        prefix: str,
        lease_s: float,
        figures: CacheFigures,
    ) -> None:
        self._redis = redis
        self._near = near
        self._breaker = breaker
        self._channel = channel(prefix)
        self._skip = len(prefix) + 1
        self._lease_s = lease_s
        self._figures = figures

    async def run(self) -> None:
        """Listen, for ever; what goes wrong empties the near cache and begins anew."""
        pause_s = _FIRST_PAUSE_S
        while True:
            began = monotonic()
            try:
                with lost_connections():
                    await self._listen()
            except Exception as error:  # noqa: BLE001 (whatever it is, it listens again)
                log.warning("invalidations are not heard", channel=self._channel, error=repr(error))
            finally:
                self._close()
            if monotonic() - began > 2 * _LONGEST_PAUSE_S:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _listen(self) -> None:
        connections: Sequence[Any] = await self._redis.links()
        try:
            async with asyncio.timeout(self._lease_s):
                for connection in connections:
                    with kept_cancellations():
                        await connection.connect()
                        await connection.send_command("SUBSCRIBE", self._channel)
                    await connection.read_response()
            self._open()
            proven = [monotonic()] * len(connections)
            works = [
                work
                for number, connection in enumerate(connections)
                for work in (
                    self._ask(connection),
                    self._hear(connection, partial(self._prove, proven, number)),
                )
            ]
            await until_one_ends([*works, self._redis.rearranged()])
        finally:
            for connection in connections:
                await connection.disconnect(nowait=True)

    async def _ask(self, connection: Connection) -> None:
        while True:
            with kept_cancellations():
                await connection.send_command("PING", repr(monotonic()))
            await asyncio.sleep(self._lease_s / _ECHOES_PER_LEASE)

    async def _hear(self, connection: Connection, prove: Callable[[float], None]) -> None:
        while True:
            answer: Any = await connection.read_response(timeout=self._lease_s)
            if answer is None:
                raise TimeoutError("not even an echo came")
            if answer[0] == b"message":
                self._invalidated(answer[2].decode())
            elif answer[0] == b"pong":
                prove(float(answer[1]))

    def _prove(self, proven: list[float], number: int, at: float) -> None:
        proven[number] = at
        if self._breaker.closed:  # else writers may be unable to publish what we would hear
            self._near.valid_until = min(proven) + self._lease_s

    def _invalidated(self, message: str) -> None:
        sent_ms, *keys = message.split("\n")
        value_ids = [key[self._skip :] for key in keys]
        if ALL in value_ids:
            self._near.drop()
            self._figures.dropped += 1
        else:
            self._near.forget(value_ids)
        self._figures.heard_after(time() - int(sent_ms) / 1000)

    def _open(self) -> None:
        # What is being read at this moment may have been invalidated before anybody listened.
        self._near.drop()
        self._near.closed = False

    def _close(self) -> None:
        if not self._near.closed:
            self._near.closed = True
            self._near.drop()
            self._figures.dropped += 1
