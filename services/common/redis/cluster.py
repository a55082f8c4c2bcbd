"""A cluster of Redis servers, each with its share of the slots."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any, Final

from redis.asyncio import Connection, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, TryAgainError

from services.common.redis.faults import lost_connections
from services.common.redis.reign import StrangerError, reign_of
from services.common.redis.servers import Evaluation, Item, RedisOptions, evaluation, read_note
from services.common.undisturbed import seen

_POOL_SIZE: Final = 32
_SCAN_COUNT: Final = 1_000
_STRANGERS: Final = "there are other primaries than before"
_ELSEWHERE: Final = (AskError, TryAgainError)  # MOVED is an AskError too


class ClusteredRedis:
    """A cluster of servers, each with its share of the slots.

    When one does not answer, everything that needs it fails, until it answers or its slots are
    found elsewhere. Once it is said which reigns to trust, no script runs while there are other
    primaries than those that had them, and none is sent to another.
    """

    def __init__(self, client: RedisCluster) -> None:
        self._client = client
        self._learning: asyncio.Task[None] | None = None
        self._doubtful = False
        self._reigns: dict[str, str] = {}
        self._trusted: frozenset[str] | None = None
        self._strangers = False
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
            if self._strangers:
                raise StrangerError(_STRANGERS)
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

    async def delete(self, pattern: str, reigns: Collection[str] | None = None) -> None:
        """Delete all keys like the pattern, on the servers of these reigns alone.

        Raises StrangerError if one of those is no primary any more.
        """
        async with self._oriented():
            nodes = self._client.get_primaries()
            if reigns is not None:
                nodes = [node for node in nodes if self._reigns.get(node.name) in reigns]
                if len(nodes) < len(reigns):
                    raise StrangerError(_STRANGERS)
            for node in nodes:
                await self._delete_on(node, pattern)

    async def identity(self) -> frozenset[str]:
        """Return the reign of each primary."""
        async with self._oriented():
            primaries = self._client.get_primaries()
            reigns = await asyncio.gather(*(self._reign_of(node) for node in primaries))
        self._reigns = dict(zip((node.name for node in primaries), reigns, strict=True))
        return frozenset(reigns)

    async def trust(self, reigns: frozenset[str]) -> None:
        """Run scripts on the servers alone that had these reigns when they were last asked."""
        self._trusted = frozenset(name for name, reign in self._reigns.items() if reign in reigns)
        self._look_for_strangers()

    async def noted(self, key: str) -> str | None:
        """Return the text under a key, None if there is none."""
        async with self._oriented():
            return await read_note(self._client.get(key))

    async def note(self, key: str, text: str) -> None:
        """Put a text under a key."""
        async with self._oriented():
            await self._client.set(key, text)

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
                self._refuse_to_follow(answer)
                answers[number] = await self._client.execute_command(*evaluations[number])
            elif isinstance(answer, Exception):
                raise answer
        return answers

    def _look_for_strangers(self) -> None:
        if self._trusted is not None:
            names = {node.name for node in self._client.get_primaries()}
            self._strangers = not names <= self._trusted

    def _refuse_to_follow(self, answer: AskError | TryAgainError) -> None:
        """Refuse to go where the answer points, unless that server is trusted."""
        if self._trusted is None or isinstance(answer, TryAgainError):
            return
        if f"{answer.host}:{answer.port}" not in self._trusted:
            raise StrangerError(_STRANGERS)

    async def _reign_of(self, node: ClusterNode) -> str:
        return reign_of(await self._client.info("server", "replication", target_nodes=node))

    async def _delete_on(self, node: ClusterNode, pattern: str) -> None:
        keys: list[bytes] = []
        async for key in self._client.scan_iter(pattern, count=_SCAN_COUNT, target_nodes=node):
            keys.append(key)
            if len(keys) == _SCAN_COUNT:
                await self._client.unlink(*keys)
                keys.clear()
        if keys:
            await self._client.unlink(*keys)

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
        self._look_for_strangers()
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
