"""A single Redis server."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Final

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.common.redis.faults import lost_connections
from services.common.redis.reign import StrangerError, read_info, reign_of
from services.common.redis.servers import Item, RedisOptions, evaluation, read_note
from services.common.redis.wire import Wire, open_wire
from services.common.undisturbed import seen

_POOL_SIZE: Final = 32
_SCAN_COUNT: Final = 1_000
_WHO: Final = pack_command(("INFO", "server", "replication"))  # type: ignore[arg-type]


class OneRedis:
    """A single server, whose scripts all go over one connection.

    Once it is said which reigns to trust, each new connection is asked for its own before any
    script uses it. What is behind the same address may be another server by then.
    """

    def __init__(
        self, client: Redis, timeout_s: float, trusted: frozenset[str] | None = None
    ) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._trusted = trusted
        self._wire: Wire | None = None
        self._opening: asyncio.Task[Wire] | None = None

    async def run(
        self, script: str, items: Sequence[Item], *arguments: str | bytes | int
    ) -> Sequence[Any]:
        """Run a script on items and return its answers."""
        # The client's own way packs each argument in Python: most of the cost of a large batch.
        command = pack_command(tuple(evaluation(script, items, arguments)))  # type: ignore[arg-type]
        wire = self._wire
        if wire is None or wire.lost:
            wire = await self._reopened()
        answers: Sequence[Any] = await wire.ask(command)
        return answers

    async def links(self) -> Sequence[Connection]:
        """Return a connection of its own."""
        return [self._connection()]

    async def rearranged(self) -> None:
        """Wait for ever: it is the one."""
        await asyncio.Event().wait()

    async def delete(self, pattern: str, reigns: Collection[str] | None = None) -> None:
        """Delete all keys like the pattern."""
        with lost_connections():
            cursor = -1
            while cursor:
                cursor, keys = await self._client.scan(max(cursor, 0), pattern, _SCAN_COUNT)
                if keys:
                    await self._client.unlink(*keys)

    async def identity(self) -> frozenset[str]:
        """Return the reign of the server."""
        with lost_connections():
            return frozenset([reign_of(await self._client.info("server", "replication"))])

    async def trust(self, reigns: frozenset[str]) -> None:
        """Run scripts on a server of these reigns alone, from now on."""
        self._trusted = reigns
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    async def noted(self, key: str) -> str | None:
        """Return the text under a key, None if there is none."""
        with lost_connections():
            return await read_note(self._client.get(key))

    async def note(self, key: str, text: str) -> None:
        """Put a text under a key."""
        with lost_connections():
            await self._client.set(key, text)

    async def ping(self) -> object:
        """Raise the client's error unless Redis answers."""
        with lost_connections():
            return await self._client.ping()

    async def close(self) -> None:
        """Close all connections."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._wire is not None:
            await self._wire.close()
        await self._client.aclose()

    async def _reopened(self) -> Wire:
        """Return a new connection. It is opened once, and to the end, however many wait for it."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(seen)
        return await asyncio.shield(self._opening)

    async def _open(self) -> Wire:
        if self._wire is not None:
            await self._wire.close()
        wire = await open_wire(self._connection(), self._timeout_s)
        try:
            await self._refuse_strangers(wire)
        except BaseException:
            await wire.close()
            raise
        self._wire = wire
        return wire

    async def _refuse_strangers(self, wire: Wire) -> None:
        if self._trusted is None:
            return
        reign = reign_of(read_info(await wire.ask(_WHO)))
        if reign not in self._trusted:
            raise StrangerError("another Redis answers than before")

    def _connection(self) -> Connection:
        pool: Any = self._client.connection_pool
        connection: Connection = pool.make_connection()
        return connection


def client_of(options: RedisOptions) -> Redis:
    """Return a client of one server, not connected yet, for the caller to close."""
    timeout_s = options.timeout_s
    pool = BlockingConnectionPool.from_url(
        options.url,
        max_connections=_POOL_SIZE,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), retries=0),
        protocol=2,
    )
    return Redis.from_pool(pool)
