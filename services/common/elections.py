"""Reads that are not older than what was acknowledged, when MongoDB has elected another primary.

A new primary has every acknowledged write, for a majority has it, but learns only with its first
own write that reaches a majority that those before it did. Until then, which may take a second,
reads with concern "majority" show it as it was before the last of them. A cache would keep that.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from bson import ObjectId

Result = TypeVar("Result")
Command = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

_PING: Final = {"ping": 1}
_NOTHING: Final = "elections"  # a collection that need not be


class Elections:
    """Knows which election's primary is known to have committed all that came before it.

    ``client`` is PyMongo's, which Motor has in it. ``command`` gives the database a command.
    """

    def __init__(self, client: Any, command: Command) -> None:
        self._client = client
        self._command = command
        self._confirmed: ObjectId | None = None

    async def current(self, read: Callable[[], Awaitable[Result]]) -> Result:
        """Return what the read finds, repeating it if a primary answered that may not know all.

        The driver notices an election before it asks the one elected, so to look afterwards will
        do. Behind a router there is no election to be seen, and the first read counts.
        """
        while True:
            found = await read()
            if self._elected() == self._confirmed:
                return found
            await self.confirm()

    async def confirm(self) -> None:
        """Return once the primary shows all that was acknowledged so far."""
        await self._command(_PING)  # the driver knows the primary then
        elected = self._elected()
        if elected == self._confirmed:
            return
        # All that the primary has, committed or not, is as new as what was acknowledged. It waits
        # until a majority has that.
        has = (await self._command(_PING))["operationTime"]
        concern = {"level": "majority", "afterClusterTime": has}
        await self._command({"find": _NOTHING, "limit": 1, "readConcern": concern})
        self._confirmed = elected

    def _elected(self) -> ObjectId | None:
        elected: ObjectId | None = self._client.topology_description.max_election_id
        return elected
