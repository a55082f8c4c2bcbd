"""Which changes of a database matter to the cache, asked for so that nothing else travels."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Self

from services.common.mongo import Document

_ENDS: Final = ["dropDatabase", "invalidate"]


@dataclass(frozen=True, slots=True)
class Changes:
    """Where values come from: a collection, and the field that holds the id of each value.

    With ``shown``, the fields that a value is made of, changes of other fields alone do not count.
    """

    collection: str
    owner: str = "_id"
    shown: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Watched:
    """What a change in a collection means for the cache.

    ``invalidate`` forgets the values of the given ids, and raises when it could not. The field
    ``owner`` of a changed document holds the id; it never changes. With ``shown``, the fields
    that the value is made of, updates of other fields alone do not count.
    """

    invalidate: Callable[[Collection[str]], Awaitable[object]]
    owner: str = "_id"
    shown: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, changes: Changes, invalidate: Callable[[Collection[str]], Awaitable[object]]
    ) -> Self:
        """Return what changes mean whose values ``invalidate`` forgets."""
        return cls(invalidate, changes.owner, frozenset(changes.shown))


def stages_for(watched: Mapping[str, Watched]) -> list[Document]:
    """Let only changes that matter pass, and of each only whose value it changed."""
    names = list(watched)
    of_these = [{"ns.coll": {"$in": names}}, {"to.coll": {"$in": names}}]
    shown = [_touches(name, entry.shown) for name, entry in watched.items() if entry.shown]
    owners = {entry.owner for entry in watched.values()} - {"_id"}
    fields = ["ns.coll", "operationType", "clusterTime", "documentKey._id"]
    fields += [f"fullDocument.{owner}" for owner in sorted(owners)]
    return [
        {"$match": {"$or": [*of_these, {"operationType": {"$in": _ENDS}}]}},
        *shown,
        {"$project": dict.fromkeys(fields, 1)},
    ]


def _touches(name: str, shown: frozenset[str]) -> Document:
    """Let updates of a collection pass only if they touch a field that is shown, or a part of it.

    Changed parts are named by their path, ``price.minor_units``, which MongoDB does not find by
    ``price``.
    """
    paths = {
        "$concatArrays": [
            {
                "$map": {
                    "input": {"$objectToArray": _described("updatedFields", {})},
                    "in": "$$this.k",
                }
            },
            _described("removedFields", []),
            {"$map": {"input": _described("truncatedArrays", []), "in": "$$this.field"}},
        ]
    }
    heads = {"$map": {"input": paths, "in": {"$first": {"$split": ["$$this", "."]}}}}
    touched = {"$ne": [{"$setIntersection": [heads, sorted(shown)]}, []]}
    others = [{"ns.coll": {"$ne": name}}, {"operationType": {"$ne": "update"}}]
    return {"$match": {"$or": [*others, {"$expr": touched}]}}


def _described(field: str, absent: object) -> Document:
    return {"$ifNull": [f"$updateDescription.{field}", absent]}
