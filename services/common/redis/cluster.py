"""A cluster of Redis servers, each with its share of the slots."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any, Final

from redis.asyncio import Connection, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, TryAgainError

from services.common.redis.faults import lost_connections
from services.common.redis.servers import Evaluation, Item, RedisOptions, evaluation
from services.common.undisturbed import seen

_POOL_SIZE: Final = 32
_SCAN_COUNT: Final = 1_000
_ELSEWHERE: Final = (AskError, TryAgainError)  # MOVED is an AskError too


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
            evaluation(script, [items[number] for number in numbers], arguments)
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

    async def _evaluate(self, evaluations: Sequence[Evaluation]) -> Sequence[Sequence[Any]]:
        pipeline = self._client.pipeline()
        for command in evaluations:
            pipeline.execute_command(*command)
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
            self._learning.add_done_callback(seen)
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


def cluster_client(options: RedisOptions) -> RedisCluster:
    """Return a client of a cluster, not connected yet, for the caller to close."""
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
