"""Who watches the changes of a database, and how far the watcher has come.

One document of the database says both. Its holder must renew it; when it does not, another
process takes it and goes on from the position. Time is MongoDB's own.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from bson import Timestamp
from pymongo.errors import DuplicateKeyError

from services.common.changes import ChangesRefused, Position
from services.common.ids import new_id
from services.common.mongo import Document, Mongo
from services.common.undisturbed import undisturbed

_COLLECTION: Final = "cache_backstop"
_WATCH: Final = "cache"
_EXPIRES_MS: Final = 5_000
_NOBODY: Final = ""
_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)
_SCHEMA: Final[Document] = {
    "bsonType": "object",
    "required": ["holder", "expire_time", "position"],
    "properties": {
        "_id": {"bsonType": "string"},
        "holder": {"bsonType": "string"},
        "expire_time": {"bsonType": "date"},
        "position": {
            "bsonType": "object",
            "required": ["time"],
            "properties": {
                "time": {"bsonType": "timestamp"},
                "token": {"bsonType": ["object", "null"]},
            },
        },
    },
}


async def prepare_backstop(mongo: Mongo) -> None:
    """Create the collection and note the present position, before the first write is served.

    A MongoDB that tells no changes has none, which the backstop says when it runs.
    """
    await mongo.prepare(_COLLECTION, schema=_SCHEMA)
    with suppress(ChangesRefused):
        await Hold(mongo).begin(Position(await mongo.operation_time()))


class Hold:
    """One process's way to the watch. Nobody else has it for 5 s after taking or keeping it."""

    def __init__(self, mongo: Mongo) -> None:
        self._watches = mongo.collection(_COLLECTION)
        self._me = new_id()

    async def begin(self, position: Position) -> None:
        """Note where the first watcher shall begin, unless there is a position already."""
        fields = {"holder": _NOBODY, "expire_time": _LONG_AGO, "position": _fields(position)}
        try:
            await undisturbed(
                self._watches.update_one({"_id": _WATCH}, {"$setOnInsert": fields}, upsert=True)
            )
        except DuplicateKeyError:  # somebody else came first
            return

    async def is_begun(self) -> bool:
        """Tell whether there is a position."""
        watch = await undisturbed(self._watches.find_one({"_id": _WATCH}, {"_id": 1}))
        return watch is not None

    async def take(self) -> Position | None:
        """Take the watch and return its position; None while somebody else has it."""
        free = {"$lte": ["$expire_time", "$$NOW"]}
        mine = {"$eq": ["$holder", self._me]}
        return await self._set({"$expr": {"$or": [free, mine]}}, holder=self._me)

    async def keep(self, position: Position) -> bool:
        """Save the position and keep the watch; False if it is somebody else's, or nobody's."""
        return await self._set({"holder": self._me}, position=_literal(position)) is not None

    async def give_up(self, position: Position) -> None:
        """Save the position and leave the watch to whoever wants it."""
        await self._set(
            {"holder": self._me},
            holder=_NOBODY,
            expire_time="$$NOW",
            position=_literal(position),
        )

    async def rewind(self, since: Timestamp) -> None:
        """Make the watcher, whoever it is, begin again at ``since``, or where it is if earlier.

        The watch is taken away from its holder, who has delivered what it has not saved yet.
        """
        later = {"$gte": ["$position.time", since]}
        target = {"$cond": [later, _literal(Position(since)), "$position"]}
        await self._set({}, holder=_NOBODY, expire_time="$$NOW", position=target)

    async def _set(self, condition: Document, **fields: Any) -> Position | None:
        """Set the fields and return the position after that; None if the condition is not met."""
        renewed = {"expire_time": {"$add": ["$$NOW", _EXPIRES_MS]}}
        update: Sequence[Document] = [{"$set": renewed | fields}]
        document = await undisturbed(
            self._watches.find_one_and_update(
                {"_id": _WATCH, **condition}, update, return_document=True
            )
        )
        return None if document is None else Position(**document["position"])


def _fields(position: Position) -> Document:
    return {"time": position.time, "token": position.token}


def _literal(position: Position) -> Document:
    """Return the position as an expression that replaces the old one as a whole."""
    return {"$literal": _fields(position)}
