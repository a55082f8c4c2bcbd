"""Failed tries of passwords in MongoDB, so that a cache that is down does not lift the throttle.

One document counts what an account's password was tried: by strangers together, and by each of the
clients that it knows, from the networks and the logins of its last successes (OWASP, "device
cookies"). Strangers who use up their tries lock out strangers alone. One document per source counts
what it fails as a stranger to accounts; each process adds its share in steps.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, cast

from pymongo.errors import DuplicateKeyError

from services.common.clock import as_utc, utc_now
from services.common.mongo import Document, Mongo
from services.user.model import Attempt, Client, LoginAttempts, LoginLimits

_ATTEMPTS: Final = "login_attempts"
_KNOWN: Final = ("logins", "sources")  # what an account knows clients by, the surest first
_MOST_KNOWN: Final = 8  # of each, the newest
_MOST_SOURCES: Final = 10_000
_STEPS: Final = 50  # in which a source reaches its bound
_NOBODY: Final = ""
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MongoThrottle:
    """Failed tries in MongoDB; every process sees those of all."""

    def __init__(self, mongo: Mongo, limits: LoginLimits) -> None:
        self._attempts = mongo.collection(_ATTEMPTS)
        self._limits = limits
        self._window = timedelta(seconds=limits.window_s)
        self._sources: OrderedDict[str, _Source] = OrderedDict()

    async def count(self, key: str, client: Client) -> Attempt:
        """Count a try as failed before it is made. Raises ``LoginThrottled``."""
        now = utc_now()
        of_source = await self._count_of_source(client.source, now)
        # What is refused for its source must not lock the account for other strangers.
        strangers = of_source.count <= self._limits.per_source
        known, attempts = await self._count(key, client, now, strangers=strangers)
        if known:
            self._forgive_source(client.source)
        else:
            of_source.confirm_at_most(self._limits.per_source)
        attempts.confirm_at_most(self._limits.per_account)
        return Attempt(key, client, known)

    async def forgive(self, attempt: Attempt, family: str) -> None:
        """Forget the failures counted where the attempt was, and know its client from now on."""
        known_until = utc_now() + timedelta(seconds=self._limits.known_s)
        old = _marks(attempt.key, attempt.client)
        new = _marks(attempt.key, Client(attempt.client.source, family))
        changes: Document = {
            name: _renewed(name, old[name], new[name], known_until) for name in _KNOWN
        }
        if not attempt.known:
            changes["failures"] = 0
            self._forgive_source(attempt.client.source)
        await self._attempts.update_one(
            {"_id": attempt.key}, [{"$set": changes}, _LASTING_WHILE_NEEDED]
        )

    async def _count(
        self, key: str, client: Client, now: datetime, *, strangers: bool
    ) -> tuple[bool, LoginAttempts]:
        """Count at the client's own counter if it is known, else at that of strangers.

        Return whether it is known, and how often it tried.
        """
        most = self._limits.per_account + 1  # beyond, nothing changes and so nothing is written
        of_client = self._one_more("$$entry.", now, most)
        changes = {name: _with_counted(name, of_client) for name in _KNOWN}
        if strangers:
            is_known = {"$ne": ["$counted", _NOBODY]}
            for field, value in self._one_more("$", now, most).items():
                changes[field] = {"$cond": [is_known, f"${field}", value]}
        document = await self._update(
            key,
            [
                {"$set": {name: _still_known(name, now) for name in _KNOWN}},
                {"$set": {"counted": _first_known(_marks(key, client))}},
                {"$set": changes},
                _LASTING_WHILE_NEEDED,
            ],
            upsert=strangers,
        )
        if document is None:
            return False, LoginAttempts(0, 0.0)
        counted = document["counted"]
        entries = [entry for name in _KNOWN for entry in document[name]]
        counter = next((entry for entry in entries if entry["mark"] == counted), document)
        # A document of an earlier release has no window.
        window_end = as_utc(counter["window_end"]) if "window_end" in counter else now
        attempts = LoginAttempts(counter["failures"], (window_end - now).total_seconds())
        return counted != _NOBODY, attempts

    def _one_more(self, of: str, now: datetime, most: int, step: int = 1) -> Document:
        """Return one failure more, or the first of a new window, of the counter ``of``."""
        is_open = {"$gt": [f"{of}window_end", now]}
        more = {"$min": [{"$add": [f"{of}failures", step]}, most]}
        return {
            "failures": {"$cond": [is_open, more, step]},
            "window_end": {"$cond": [is_open, f"{of}window_end", now + self._window]},
        }

    async def _update(
        self, key: str, pipeline: list[Document], *, upsert: bool = True
    ) -> Document | None:
        async def update() -> Document | None:
            return await self._attempts.find_one_and_update(
                {"_id": key}, pipeline, upsert=upsert, return_document=True
            )

        try:
            return await update()
        except DuplicateKeyError:  # another first try came in between
            return await update()

    async def _count_of_source(self, source: str, now: datetime) -> LoginAttempts:
        """Count a failure of a source in this process, and step by step in MongoDB."""
        if not source:
            return LoginAttempts(0, 0.0)
        known = self._sources.get(source)
        if known is None or known.window_end <= now:
            known = self._sources[source] = _Source(now + self._window)
        self._sources.move_to_end(source)
        if len(self._sources) > _MOST_SOURCES:
            self._sources.popitem(last=False)
        if known.failures <= self._limits.per_source:
            known.failures += 1
            known.untold += 1
            await self._tell(source, known, now)
        return LoginAttempts(known.failures, (known.window_end - now).total_seconds())

    async def _tell(self, source: str, known: "_Source", now: datetime) -> None:
        """Add what this process has counted to what all have, once it is worth a round trip."""
        step, most = known.untold, self._limits.per_source + 1
        if step < max(1, self._limits.per_source // _STEPS):
            return
        known.untold = 0
        try:
            changes = self._one_more("$", now, most, step)
            pipeline = [{"$set": changes}, _LASTING_WHILE_NEEDED]
            told = await self._update(f"source:{_hash(source)}", pipeline)
        except BaseException:
            known.untold += step
            raise
        document = cast("Document", told)  # an upsert always leaves one
        known.failures = document["failures"] + known.untold
        known.window_end = as_utc(document["window_end"])

    def _forgive_source(self, source: str) -> None:
        known = self._sources.get(source)
        if known is not None and known.failures:  # not if a new window has begun
            known.failures -= 1
            known.untold -= 1


@dataclass(slots=True)
class _Source:
    """What a source failed in the window, as far as is known, and what is not in MongoDB yet."""

    window_end: datetime
    failures: int = 0
    untold: int = 0


def _marks(key: str, client: Client) -> Mapping[str, str]:
    """Return what an account knows a client by; no other account has the same marks."""
    told = {"logins": client.family, "sources": client.source}
    return {name: _hash(f"{key} {name} {told[name]}") if told[name] else "" for name in _KNOWN}


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]


# ---- expressions of the aggregation language

# No time but those in the document: what changes nothing is not written.
_LASTING_WHILE_NEEDED: Final[Document] = {
    "$set": {
        "expire_time": {
            "$max": [
                "$expire_time",
                "$window_end",
                *({"$max": f"${name}.known_until"} for name in _KNOWN),
            ]
        }
    }
}


def _still_known(name: str, now: datetime) -> Document:
    return _entries(name, {"$gt": ["$$entry.known_until", now]})


def _first_known(marks: Mapping[str, str]) -> Document:
    """Return the surest mark that the account knows, or that of nobody."""
    found: Document = {"$literal": _NOBODY}
    for name in reversed(_KNOWN):
        if marks[name]:
            found = {"$cond": [{"$in": [marks[name], f"${name}.mark"]}, marks[name], found]}
    return found


def _with_counted(name: str, changes: Document) -> Document:
    counts = {"$eq": ["$$entry.mark", "$counted"]}
    changed = {"$cond": [counts, {"$mergeObjects": ["$$entry", changes]}, "$$entry"]}
    return {"$map": {"input": f"${name}", "as": "entry", "in": changed}}


def _renewed(name: str, old: str, new: str, known_until: datetime) -> Document:
    """Return the newest entries: the others, and a new one for what is known from now on."""
    others = _entries(name, {"$not": {"$in": ["$$entry.mark", [old, new]]}})
    entry = {"mark": new, "failures": 0, "window_end": _LONG_AGO, "known_until": known_until}
    entries = {"$concatArrays": [others, [entry] if new else []]}
    return {"$slice": [entries, -_MOST_KNOWN]}


def _entries(name: str, condition: Document) -> Document:
    entries = {"$ifNull": [f"${name}", []]}
    return {"$filter": {"input": entries, "as": "entry", "cond": condition}}
