"""Redis as the cache sees it: short waits, no retries, nothing unbounded.

One server and a cluster are used alike: through scripts on items, whose keys hash to one slot.
Needs Redis 7 or newer, or Valkey.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, NamedTuple, Protocol

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Connection, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, RedisClusterException, ResponseError, TryAgainError

_POOL_SIZE: Final = 32
_SCAN_COUNT: Final = 1_000
_ELSEWHERE: Final = (AskError, TryAgainError)  # MOVED is an AskError too

_Evaluation = list[str | bytes | int]


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """Which server, or which cluster a server of which it is, and how long anything may take."""

    url: str
    timeout_ms: int
    cluster: bool = False

    @property
    def timeout_s(self) -> float:
        """The same bound in seconds."""
        return self.timeout_ms / 1000


class Item(NamedTuple):
    """What a script works on: keys of one slot and arguments, as many of each for every item."""

    keys: tuple[str, ...]
    arguments: Sequence[str | bytes | int] = ()


class RedisServers(Protocol):
    """One Redis server, or several as a cluster.

    Every method raises RedisError, OSError or TimeoutError when Redis does not do it.
    """

    async def run(
        self, script: str, items: Sequence[Item], *arguments: str | bytes | int
    ) -> Sequence[Any]:
        """Run a script on items and return its answers, one for each.

        The script gets the keys of all items as KEYS, and as ARGV ``arguments`` and then those of
        the items; it returns an array. In a cluster it runs once for every slot.
        """
        ...

    async def links(self) -> Sequence[Connection]:
        """Return connections of their own to every server, not open yet."""
        ...

    async def rearranged(self) -> None:
        """Wait until there are other servers than at the last ``links``."""
        ...

    async def delete(self, pattern: str) -> None:
        """Delete all keys like the pattern."""
        ...

    async def identity(self) -> frozenset[str]:
        """Return a name of each server that no other, and no later run of it, has."""
        ...

    async def ping(self) -> object:
        """Raise the client's error unless Redis answers."""
        ...


class OneRedis:
    """A single server."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._pool: Any = client.connection_pool

    async def run(
        self, script: str, items: Sequence[Item], *arguments: str | bytes | int
    ) -> Sequence[Any]:
        """Run a script on items and return its answers."""
        # The client's own way packs each argument in Python: most of the cost of a large batch.
        command = pack_command(tuple(_evaluation(script, items, arguments)))  # type: ignore[arg-type]
        with lost_connections():
            connection: Any = await self._pool.get_connection()
            try:
                await connection.send_packed_command(command)
                answers: Sequence[Any] = await connection.read_response()
            except ResponseError:
                raise  # which is an answer as well
            except BaseException:
                await connection.disconnect(nowait=True)  # the answer may still come
                raise
            finally:
                await self._pool.release(connection)
        return answers

    async def links(self) -> Sequence[Connection]:
        """Return a connection of its own."""
        return [self._pool.make_connection()]

    async def rearranged(self) -> None:
        """Wait for ever: it is the one."""
        await asyncio.Event().wait()

    async def delete(self, pattern: str) -> None:
        """Delete all keys like the pattern."""
        with lost_connections():
            async for key in self._client.scan_iter(pattern, count=_SCAN_COUNT):
                await self._client.unlink(key)

    async def identity(self) -> frozenset[str]:
        """Return a name of this run of the server."""
        with lost_connections():
            return frozenset([(await self._client.info("server"))["run_id"]])

    async def ping(self) -> object:
        """Raise the client's error unless Redis answers."""
        with lost_connections():
            return await self._client.ping()


class ClusteredRedis:
    """A cluster of servers, each with its share of the slots.

    When one does not answer, everything that needs it fails, until it answers or its slots are
    found elsewhere.
    """

    def __init__(self, client: RedisCluster) -> None:
        self._client = client
        self._learning: asyncio.Task[None] | None = None
        self._doubtful = False
        self._linked: frozenset[str] = frozenset()
        self._rearranged = asyncio.Event()

    async def run(
        self, script: str, items: Sequence[Item], *arguments: str | bytes | int
    ) -> Sequence[Any]:
        """Run a script once for every slot of the items and return all answers.

        It takes one round trip to each server, and another for slots that have moved.
        """
        slots: dict[int, list[int]] = {}
        for number, item in enumerate(items):
            slots.setdefault(self._client.keyslot(item.keys[0]), []).append(number)
        evaluations = [
            _evaluation(script, [items[number] for number in numbers], arguments)
            for numbers in slots.values()
        ]
        async with self._oriented():
            answers = await self._evaluate(evaluations)
        by_number = dict(zip(chain(*slots.values()), chain(*answers), strict=True))
        return [by_number[number] for number in range(len(items))]

    async def links(self) -> Sequence[Connection]:
        """Return a connection of its own to every primary."""
        async with self._oriented():
            primaries = self._client.get_primaries()
        self._linked = frozenset(node.name for node in primaries)
        self._rearranged.clear()
        return [node.connection_class(**node.connection_kwargs) for node in primaries]

    async def rearranged(self) -> None:
        """Wait until the primaries are not those of the last ``links`` any more."""
        await self._rearranged.wait()

    async def delete(self, pattern: str) -> None:
        """Delete all keys like the pattern."""
        async with self._oriented():
            async for key in self._client.scan_iter(pattern, count=_SCAN_COUNT):
                await self._client.unlink(key)

    async def identity(self) -> frozenset[str]:
        """Return a name of this run of each primary."""
        async with self._oriented():
            answers = await self._client.info("server", target_nodes=RedisCluster.PRIMARIES)
        by_node = answers.values() if "run_id" not in answers else [answers]
        return frozenset(answer["run_id"] for answer in by_node)

    async def ping(self) -> object:
        """Raise the client's error unless all primaries answer."""
        async with self._oriented():
            return await self._client.ping(target_nodes=RedisCluster.PRIMARIES)

    async def close(self) -> None:
        """Close all connections."""
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.gather(self._learning, return_exceptions=True)
        await self._client.aclose()

    async def _evaluate(self, evaluations: Sequence[_Evaluation]) -> Sequence[Sequence[Any]]:
        pipeline = self._client.pipeline()
        for evaluation in evaluations:
            pipeline.execute_command(*evaluation)
        answers = await pipeline.execute(raise_on_error=False, allow_redirections=False)
        for number, answer in enumerate(answers):
            if isinstance(answer, _ELSEWHERE):
                self._doubtful = True
                answers[number] = await self._client.execute_command(*evaluations[number])
            elif isinstance(answer, Exception):
                raise answer
        return answers

    @asynccontextmanager
    async def _oriented(self) -> AsyncIterator[None]:
        """Know which server has which slots; if what is done then fails, learn it anew next time.

        The learning goes on when somebody gives up waiting for it.
        """
        if self._learning is None or (self._learning.done() and self._doubtful):
            self._learning = asyncio.create_task(self._learn())
            self._learning.add_done_callback(_heeded)
        with lost_connections():
            await asyncio.shield(self._learning)
            try:
                yield
            except BaseException:
                self._doubtful = True
                raise

    async def _learn(self) -> None:
        self._doubtful = True
        await self._client.initialize()
        nodes: Any = self._client.nodes_manager
        await nodes.initialize()
        self._doubtful = False
        if self._linked and self._linked != {node.name for node in self._client.get_primaries()}:
            self._rearranged.set()


def _heeded(task: asyncio.Task[None]) -> None:
    """Do not complain about what nobody waited for: it is tried again."""
    if not task.cancelled():
        task.exception()


@contextmanager
def lost_connections() -> Iterator[None]:
    """Raise ConnectionError where the client lets something else through.

    uvloop raises RuntimeError when something is written to a connection that was just lost, and
    the client's errors of a cluster that cannot be used are no RedisError.
    """
    try:
        with kept_cancellations():
            yield
    except (RuntimeError, RedisClusterException) as error:
        raise ConnectionError(str(error)) from error


@contextmanager
def kept_cancellations() -> Iterator[None]:
    """Raise CancelledError at the end of a block that lost one.

    The client writes through ``asyncio.wait_for``, which in Python 3.11 forgets a cancellation
    that comes just when the write is done: a timeout would not end, nor a loop.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


def _evaluation(
    script: str, items: Sequence[Item], arguments: Sequence[str | bytes | int]
) -> _Evaluation:
    keys = [key for item in items for key in item.keys]
    return [
        *("EVAL", script, len(keys)),
        *keys,
        *arguments,
        *(argument for item in items for argument in item.arguments),
    ]


@asynccontextmanager
async def open_redis(options: RedisOptions) -> AsyncIterator[RedisServers]:
    """Open a client and close it at the end. Redis need not be reachable, now or ever.

    Connecting, waiting for a connection and each command fail after ``timeout_ms`` of the options.
    """
    if options.cluster:
        cluster = ClusteredRedis(_cluster_client(options))
        try:
            yield cluster
        finally:
            await cluster.close()
    else:
        client = client_of(options)
        try:
            yield OneRedis(client)
        finally:
            await client.aclose()


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


def _cluster_client(options: RedisOptions) -> RedisCluster:
    timeout_s = options.timeout_s
    return RedisCluster.from_url(
        options.url,
        max_connections=_POOL_SIZE,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), retries=0),
        reinitialize_steps=0,  # it would close connections under those who use them
        require_full_coverage=False,
        protocol=2,
    )
