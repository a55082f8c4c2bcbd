"""The server that Redis Sentinel calls the primary, whichever it is at the moment."""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from redis.asyncio import Connection, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from services.common.background import ended
from services.common.redis.faults import lost_connections
from services.common.redis.one import OneRedis, client_of
from services.common.redis.sentinel_urls import SentinelUrl
from services.common.redis.servers import Item, RedisOptions
from services.common.undisturbed import seen

WORD_S: Final = 0.8
"""For how long the word of the sentinels is good. Who adopts a new primary waits for longer."""

_Address = tuple[str, int]
_DISAGREEMENT: Final = "no majority of the sentinels names a primary"


class SentinelRedis:
    """The primary, as long as more than half of the sentinels call a server that.

    ``identity`` asks them, all at once; what they say is good for 0.8 s from the question. After
    that, and once the server says that it is a replica, no script runs until they are asked again.
    So nobody uses a server for longer that was replaced, even where it does not know that itself.
    """

    def __init__(self, sentinels: Sequence[Redis], options: RedisOptions) -> None:
        self._sentinels = sentinels
        self._name = options.sentinel
        self._options = options
        self._url = SentinelUrl.parse(options.url)
        self._address: _Address | None = None
        self._primary: OneRedis | None = None
        self._good_until = 0.0
        self._rearranged = asyncio.Event()
        self._ending: set[asyncio.Task[Any]] = set()

    async def run(
        self, script: str, items: Sequence[Item], *arguments: str | bytes | int
    ) -> Sequence[Any]:
        """Run a script on items and return its answers."""
        primary = self._primary
        if primary is None or monotonic() >= self._good_until:
            raise RedisConnectionError("the sentinels were not heard of for a while")
        try:
            return await primary.run(script, items, *arguments)
        except ResponseError as error:
            if str(error).startswith("READONLY"):
                self._good_until = 0.0
            raise

    async def links(self) -> Sequence[Connection]:
        """Return a connection of its own to the primary."""
        self._rearranged.clear()
        return await self._found().links()

    async def rearranged(self) -> None:
        """Wait until the sentinels name another primary than at the last ``links``."""
        await self._rearranged.wait()

    async def delete(self, pattern: str, reigns: Collection[str] | None = None) -> None:
        """Delete all keys like the pattern."""
        await self._found().delete(pattern, reigns)

    async def identity(self) -> frozenset[str]:
        """Ask the sentinels which server is the primary, and return its reign."""
        asked_at = monotonic()
        address = await self._agreed_address()
        if address != self._address:
            self._move(address)
        reigns = await self._found().identity()
        self._good_until = asked_at + WORD_S
        return reigns

    async def trust(self, reigns: frozenset[str]) -> None:
        """Run scripts on a primary of these reigns alone, from now on."""
        await self._found().trust(reigns)

    async def noted(self, key: str) -> str | None:
        """Return the text under a key, None if there is none."""
        return await self._found().noted(key)

    async def note(self, key: str, text: str) -> None:
        """Put a text under a key."""
        await self._found().note(key, text)

    async def ping(self) -> object:
        """Raise the client's error unless the primary answers."""
        return await self._found().ping()

    async def close(self) -> None:
        """Close all connections."""
        if self._primary is not None:
            await self._primary.close()
        await ended(self._ending)
        for sentinel in self._sentinels:
            await sentinel.aclose()

    def _found(self) -> OneRedis:
        if self._primary is None:
            raise RedisConnectionError("the sentinels have not named a primary yet")
        return self._primary

    def _move(self, address: _Address) -> None:
        """Use the server at this address, of which nothing is known yet, instead of the one before.

        Whoever waits for an answer of that one gets an error.
        """
        before = self._primary
        options = RedisOptions(self._url.server(*address), self._options.timeout_ms)
        self._primary = OneRedis(client_of(options), options.timeout_s, trusted=frozenset())
        self._address = address
        self._good_until = 0.0
        self._rearranged.set()
        if before is not None:
            self._end_by_itself(asyncio.create_task(before.close()))

    async def _agreed_address(self) -> _Address:
        """Return what more than half of the sentinels say, without waiting for the others.

        Those answer or time out by themselves: a question that is cancelled costs its connection.
        """
        questions = [asyncio.create_task(self._ask(sentinel)) for sentinel in self._sentinels]
        votes: Counter[_Address] = Counter()
        try:
            for answer in asyncio.as_completed(questions):
                with suppress(RedisError, OSError, TimeoutError):
                    address = await answer
                    votes[address] += 1
                    if 2 * votes[address] > len(self._sentinels):
                        return address
            raise RedisConnectionError(f"{_DISAGREEMENT}: {_told(questions)}")
        finally:
            for question in questions:
                self._end_by_itself(question)

    async def _ask(self, sentinel: Redis) -> _Address:
        with lost_connections():
            answer: Any = await sentinel.execute_command(  # type: ignore[no-untyped-call]
                "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name
            )
        if answer is None:
            raise RedisConnectionError(f"it watches nothing called {self._name}")
        host, port = answer
        return host.decode(), int(port)

    def _end_by_itself(self, task: asyncio.Task[Any]) -> None:
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        task.add_done_callback(seen)


def sentinel_clients(options: RedisOptions) -> Sequence[Redis]:
    """Return a client of each sentinel, not connected yet, for the caller to close."""
    urls = SentinelUrl.parse(options.url).sentinels(options.sentinel_password)
    return [client_of(RedisOptions(url, options.timeout_ms)) for url in urls]


def _told(questions: Sequence[asyncio.Task[_Address]]) -> str:
    """Return what each sentinel said, all of which have answered."""
    answers = [question.exception() or "{}:{}".format(*question.result()) for question in questions]
    return "; ".join(map(str, answers))
