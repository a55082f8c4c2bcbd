"""Redis as the cache sees it: one server and several alike, used through scripts on items."""

from collections.abc import Awaitable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from redis.asyncio import Connection
from redis.exceptions import ResponseError


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """Which server, or whom to ask which it is, and how long anything may take.

    The URL is that of a server, of a server of a cluster, or, where ``sentinel`` names what they
    watch, of sentinels, whose own password is ``sentinel_password``.
    """

    url: str
    timeout_ms: int
    cluster: bool = False
    sentinel: str = ""
    sentinel_password: str = field(default="", repr=False)

    @property
    def timeout_s(self) -> float:
        """The same bound in seconds."""
        return self.timeout_ms / 1000


class Item(NamedTuple):
    """What a script works on: keys of one slot and arguments, as many of each for every item."""

    keys: tuple[str, ...]
    arguments: Sequence[str | bytes | int] = ()


class RedisServers(Protocol):
    """One Redis server, whichever it may be at the moment, or several as a cluster.

    Every method raises RedisError, OSError or TimeoutError when Redis does not do it.
    """

    async def run(
        self, script: str, items: Sequence[Item], *arguments: str | bytes | int
    ) -> Sequence[Any]:
        """Run a script on items and return its answers, one for each.

        The script gets the keys of all items as KEYS, and as ARGV ``arguments`` and then those of
        the items; it returns an array. In a cluster it runs once for every slot. Raises
        StrangerError instead of running it on servers that are not trusted.
        """
        ...

    async def links(self) -> Sequence[Connection]:
        """Return connections of their own to every server, not open yet."""
        ...

    async def rearranged(self) -> None:
        """Wait until there are other servers than at the last ``links``."""
        ...

    async def delete(self, pattern: str, reigns: Collection[str] | None = None) -> None:
        """Delete all keys like the pattern, of several servers on those of these reigns alone."""
        ...

    async def identity(self) -> frozenset[str]:
        """Return the reign of each server, as ``reign_of`` names it."""
        ...

    async def trust(self, reigns: frozenset[str]) -> None:
        """Run scripts on servers of these reigns alone, from now on."""
        ...

    async def noted(self, key: str) -> str | None:
        """Return the text under a key, None if there is none."""
        ...

    async def note(self, key: str, text: str) -> None:
        """Put a text under a key."""
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


async def read_note(get: Awaitable[Any]) -> str | None:
    """Return the text that a GET finds; for what is no text, one that names nothing."""
    try:
        raw: bytes | None = await get
    except ResponseError as error:
        if not str(error).startswith("WRONGTYPE"):
            raise
        return ""
    return None if raw is None else str(raw, "utf-8", "replace")
