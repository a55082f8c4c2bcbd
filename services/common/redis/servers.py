"""Redis as the cache sees it: one server and a cluster alike, used through scripts on items."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from redis.asyncio import Connection


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


Evaluation = list[str | bytes | int]


def evaluation(
    script: str, items: Sequence[Item], arguments: Sequence[str | bytes | int]
) -> Evaluation:
    """Return the command that runs a script on items, as ``RedisServers.run`` describes it."""
    keys = [key for item in items for key in item.keys]
    return [
        *("EVAL", script, len(keys)),
        *keys,
        *arguments,
        *(argument for item in items for argument in item.arguments),
    ]
