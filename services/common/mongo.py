"""MongoDB through either driver, and only what both drivers share.

Motor reached its end of life in May 2026; PyMongo's ``AsyncMongoClient`` follows it. Code
written against the protocols here runs on both.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from time import monotonic
from typing import Any, Final, Protocol, TypeVar, cast

import pymongo
from bson import Timestamp
from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, IndexModel, UpdateOne
from pymongo.errors import (
    AutoReconnect,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)
from pymongo.monitoring import CommandListener
from pymongo.read_concern import ReadConcern
from pymongo.results import BulkWriteResult, DeleteResult, InsertOneResult, UpdateResult
from pymongo.write_concern import WriteConcern

from services.common.call import current_call, remaining_s
from services.common.changes import ChangesRefused, ChangeStream, Position, open_changes
from services.common.clock import as_utc
from services.common.elections import Elections
from services.common.errors import DeadlineExceeded, DomainError, Unavailable
from services.common.mongo_metrics import MongoMetrics
from services.common.transaction import Session, Transactions, settled
from services.common.undisturbed import undisturbed

Document = dict[str, Any]
Filter = Mapping[str, Any]
Sort = Sequence[tuple[str, int]]
Result = TypeVar("Result")

_NAMESPACE_EXISTS: Final = 48
_ROUTER: Final = "isdbgrid"
_ANSWER_MARGIN_S: Final = 0.01
_POOL_SIZE: Final = 64
_SILENCE_MS: Final = 10_000  # of a socket, for the few commands without a bound of their own
_MAJORITY: Final = WriteConcern("majority")
_GIVES_UP_BEFORE_S: Final = 0.05  # drivers leave room for the way to the server
# Of a server that stops, steps down or follows, or that cannot reach others. Drivers repeat what
# met one of these while there is time; with what is left they raise it.
_PASSING_CODES: Final = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        43,  # CursorNotFound: it was another server's
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        133,  # FailedToSatisfyReadPreference: a router finds no primary
        134,  # ReadConcernMajorityNotAvailableYet
        189,  # PrimarySteppedDown
        202,  # NetworkInterfaceExceededTimeLimit
        262,  # ExceededTimeLimit
        9001,  # SocketException
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11602,  # InterruptedDueToReplStateChange
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
    }
)
_PASSING_LABELS: Final = (
    "RetryableWriteError",
    "TransientTransactionError",
    "UnknownTransactionCommitResult",
)


class MongoDriver(StrEnum):
    """Which client library talks to MongoDB."""

    MOTOR = "motor"
    PYMONGO = "pymongo"


@dataclass(frozen=True, slots=True)
class MongoOptions:
    """Which deployment, through which driver, and how long an operation may take."""

    uri: str
    driver: MongoDriver
    timeout_ms: int


class NoTransactionsError(Exception):
    """MongoDB is a single server, which has no transactions."""


class Cursor(Protocol):
    """The outcome of a query, as far as both drivers agree."""

    async def to_list(self, length: int | None) -> list[Document]:
        """Return at most ``length`` documents, or all."""


class Collection(Protocol):
    """A collection, as far as both drivers agree."""

    async def find_one(  # noqa: D102
        self,
        query: Filter,
        projection: Filter | None = None,
        *,
        session: Session | None = None,
    ) -> Document | None: ...

    def find(  # noqa: D102
        self,
        query: Filter,
        projection: Filter | None = None,
        *,
        sort: Sort | None = None,
        limit: int = 0,
        session: Session | None = None,
    ) -> Cursor: ...

    async def insert_one(  # noqa: D102
        self, document: Document, *, session: Session | None = None
    ) -> InsertOneResult: ...

    async def update_one(  # noqa: D102
        self,
        query: Filter,
        update: Filter | Sequence[Filter],
        *,
        upsert: bool = False,
        hint: str | None = None,
        session: Session | None = None,
    ) -> UpdateResult: ...

    async def find_one_and_update(  # noqa: D102
        self,
        query: Filter,
        update: Filter | Sequence[Filter],
        *,
        upsert: bool = False,
        return_document: bool = False,
        session: Session | None = None,
    ) -> Document | None: ...

    async def delete_one(  # noqa: D102
        self, query: Filter, *, session: Session | None = None
    ) -> DeleteResult: ...

    async def delete_many(  # noqa: D102
        self, query: Filter, *, session: Session | None = None
    ) -> DeleteResult: ...

    async def bulk_write(  # noqa: D102
        self, requests: Sequence[UpdateOne], *, ordered: bool = True, session: Session | None = None
    ) -> BulkWriteResult: ...

    async def create_indexes(self, indexes: Sequence[IndexModel]) -> list[str]: ...  # noqa: D102

    async def aggregate(self, pipeline: Sequence[Filter]) -> Sequence[Document]:
        """Return all documents that the pipeline makes."""
        ...


class LastingCollection(Protocol):
    """A collection for reading what lasts."""

    def find(  # noqa: D102
        self,
        query: Filter,
        projection: Filter | None = None,
        *,
        sort: Sort | None = None,
        limit: int = 0,
    ) -> Cursor: ...

    async def aggregate(self, pipeline: Sequence[Filter]) -> Sequence[Document]:
        """Return all documents that the pipeline makes."""
        ...


class _BoundedCursor:
    """A query whose documents come in time."""

    def __init__(self, cursor: Cursor, timeout_s: float, metrics: MongoMetrics) -> None:
        self._cursor = cursor
        self._timeout_s = timeout_s
        self._metrics = metrics

    async def to_list(self, length: int | None) -> list[Document]:
        timeout_s = remaining_s(self._timeout_s, _ANSWER_MARGIN_S)
        with self._metrics.operation(), pymongo.timeout(timeout_s):
            return await undisturbed(self._cursor.to_list(length))


class _BoundedCollection:
    """A collection whose operations end with the current call, in MongoDB too (``maxTimeMS``)."""

    def __init__(self, collection: Any, timeout_s: float, metrics: MongoMetrics) -> None:
        self._collection = collection
        self._timeout_s = timeout_s
        self._metrics = metrics

    def find(self, *args: Any, **options: Any) -> Cursor:
        cursor = self._collection.find(*args, **options)
        return _BoundedCursor(cursor, self._timeout_s, self._metrics)

    async def find_one(self, *args: Any, **options: Any) -> Document | None:
        return await self._bounded(self._collection.find_one, *args, **options)

    async def insert_one(self, *args: Any, **options: Any) -> InsertOneResult:
        return await self._bounded(self._collection.insert_one, *args, **options)

    async def update_one(self, *args: Any, **options: Any) -> UpdateResult:
        return await self._bounded(self._collection.update_one, *args, **options)

    async def find_one_and_update(self, *args: Any, **options: Any) -> Document | None:
        return await self._bounded(self._collection.find_one_and_update, *args, **options)

    async def delete_one(self, *args: Any, **options: Any) -> DeleteResult:
        return await self._bounded(self._collection.delete_one, *args, **options)

    async def delete_many(self, *args: Any, **options: Any) -> DeleteResult:
        return await self._bounded(self._collection.delete_many, *args, **options)

    async def bulk_write(self, *args: Any, **options: Any) -> BulkWriteResult:
        return await self._bounded(self._collection.bulk_write, *args, **options)

    async def create_indexes(self, *args: Any, **options: Any) -> list[str]:
        return await self._bounded(self._collection.create_indexes, *args, **options)

    async def aggregate(self, pipeline: Sequence[Filter]) -> Sequence[Document]:
        timeout_s = remaining_s(self._timeout_s, _ANSWER_MARGIN_S)
        with self._metrics.operation(), pymongo.timeout(timeout_s):
            cursor = await settled(self._collection.aggregate(pipeline))
            documents: Sequence[Document] = await undisturbed(cursor.to_list(None))
            return documents

    async def _bounded(
        self, operation: Callable[..., Awaitable[Result]], *args: Any, **options: Any
    ) -> Result:
        timeout_s = remaining_s(self._timeout_s, _ANSWER_MARGIN_S)
        with self._metrics.operation(), pymongo.timeout(timeout_s):
            return await undisturbed(operation(*args, **options))


class _LastingCursor:
    """A query whose documents no failover has made old."""

    def __init__(self, cursor: Callable[[], Cursor], elections: Elections) -> None:
        self._cursor = cursor
        self._elections = elections

    async def to_list(self, length: int | None) -> list[Document]:
        return await self._elections.current(lambda: self._cursor().to_list(length))


class _LastingCollection:
    """A collection that is read as a majority has it, and never older than was acknowledged."""

    def __init__(self, collection: _BoundedCollection, elections: Elections) -> None:
        self._collection = collection
        self._elections = elections

    def find(
        self,
        query: Filter,
        projection: Filter | None = None,
        *,
        sort: Sort | None = None,
        limit: int = 0,
    ) -> Cursor:
        return _LastingCursor(
            lambda: self._collection.find(query, projection, sort=sort, limit=limit),
            self._elections,
        )

    async def aggregate(self, pipeline: Sequence[Filter]) -> Sequence[Document]:
        return await self._elections.current(lambda: self._collection.aggregate(pipeline))


class Mongo:
    """One database of a MongoDB deployment.

    Every operation ends within ``timeout_s`` or the deadline of the current call, whichever
    comes first. Writes are acknowledged by a majority.
    """

    def __init__(self, client: Any, database: str, timeout_s: float) -> None:
        self._client = client
        self._database = client.get_database(
            database,
            codec_options=CodecOptions(tz_aware=False),
            write_concern=_MAJORITY,
            read_concern=ReadConcern("local"),
        )
        self._transactions = Transactions(client, _MAJORITY)
        pymongos = client.delegate if isinstance(client, AsyncIOMotorClient) else client
        self._elections = Elections(pymongos, self._command)
        self._timeout_s = timeout_s
        self.metrics: Final = MongoMetrics(_POOL_SIZE)

    def collection(self, name: str) -> Collection:
        """Return a collection by name."""
        return _BoundedCollection(self._database[name], self._timeout_s, self.metrics)

    def lasting(self, name: str) -> LastingCollection:
        """Return a collection whose reads see only what no failover can undo.

        They see every write that was acknowledged before they began, whichever server is primary.
        """
        database = self._database.with_options(read_concern=ReadConcern("majority"))
        collection = _BoundedCollection(database[name], self._timeout_s, self.metrics)
        return _LastingCollection(collection, self._elections)

    async def ping(self) -> None:
        """Raise the driver's error unless MongoDB answers as a primary does."""
        await self._elections.confirm()

    async def confirm_transactions(self) -> None:
        """Raise ``NoTransactionsError`` unless MongoDB is a replica set, or a router of shards."""
        told = await self._command({"hello": 1})
        if "setName" not in told and told.get("msg") != _ROUTER:
            raise NoTransactionsError(
                "MongoDB must be a replica set, of one node at least: SHOP_MONGO_URI names a "
                "server that is not"
            )

    async def _command(self, command: Document) -> Document:
        with pymongo.timeout(remaining_s(self._timeout_s, _ANSWER_MARGIN_S)):
            return cast("Document", await undisturbed(self._database.command(command)))

    async def prepare(
        self, name: str, *, schema: Document, indexes: Sequence[IndexModel] = ()
    ) -> None:
        """Make the collection have this validator and these indexes, however often it runs."""
        wanted = {"validator": {"$jsonSchema": schema}, "validationLevel": "strict"}
        present = await self._options(name)
        if present is None:
            present = wanted
            try:
                await self._database.command({"create": name, **wanted})
            except OperationFailure as error:
                if error.code != _NAMESPACE_EXISTS:
                    raise
                present = await self._options(name) or {}
        # collMod waits for all transactions on the collection, those of killed processes too,
        # and all other work waits for it: nothing to do at every start.
        if any(present.get(key) != value for key, value in wanted.items()):
            await self._database.command({"collMod": name, **wanted})
        if indexes:
            await self.collection(name).create_indexes(indexes)

    async def _options(self, name: str) -> Document | None:
        """Return the options of a collection; None if there is no such collection."""
        answer = await self._database.command({"listCollections": 1, "filter": {"name": name}})
        found = answer["cursor"]["firstBatch"]
        return cast("Document", found[0]["options"]) if found else None

    async def in_transaction(self, work: Callable[[Session], Awaitable[Result]]) -> Result:
        """Return what ``work`` returns, with all it did through the session done, or nothing.

        ``work`` may run several times: it must have no other effects.
        """
        return await self._transactions.run(work, remaining_s(self._timeout_s, _ANSWER_MARGIN_S))

    async def now(self) -> datetime:
        """Return the time of day by MongoDB's clock, the same for all processes."""
        return as_utc((await self._command({"hello": 1}))["localTime"])

    async def operation_time(self) -> Timestamp:
        """Return MongoDB's logical time: of all changes so far, none is later.

        Raises ``ChangesRefused`` where there is none.
        """
        answer = await self._command({"ping": 1})
        if "operationTime" not in answer:
            raise ChangesRefused("a MongoDB that is no replica set has no logical time")
        return cast("Timestamp", answer["operationTime"])

    def changes(
        self, stages: Sequence[Document], position: Position
    ) -> AbstractAsyncContextManager[ChangeStream]:
        """Ask for the changes since a position, passed through more stages of a pipeline."""
        return open_changes(self._client, self._database, stages, position, self._timeout_s)

    async def close(self) -> None:
        """Close all connections."""
        await self._transactions.drain()
        await settled(self._client.close())


@asynccontextmanager
async def open_mongo(
    options: MongoOptions, database: str, listeners: Sequence[CommandListener] = ()
) -> AsyncIterator[Mongo]:
    """Open a database and close it at the end. It need not be reachable yet.

    ``listeners`` hear of every command.
    """
    timeout_ms = options.timeout_ms
    motor = options.driver is MongoDriver.MOTOR
    connect = AsyncIOMotorClient if motor else AsyncMongoClient
    client: Any = connect(
        options.uri,
        timeoutMS=timeout_ms,
        serverSelectionTimeoutMS=timeout_ms,
        connectTimeoutMS=timeout_ms,
        waitQueueTimeoutMS=timeout_ms,
        socketTimeoutMS=_SILENCE_MS,
        maxPoolSize=_POOL_SIZE,
        event_listeners=listeners,
        # What is promised rests on these; an argument wins over the URI.
        readPreference="primary",
        retryReads=True,
        retryWrites=True,
    )
    mongo = Mongo(client, database, timeout_ms / 1000)
    try:
        yield mongo
    finally:
        await mongo.close()


def as_domain_error(error: Exception) -> DomainError | None:
    """Return the refusal that a driver's error stands for, if it is not a fault of ours.

    Time that was up because the call's was is no fault of the store.
    """
    timed_out = isinstance(error, ExecutionTimeout | WTimeoutError) or (
        isinstance(error, PyMongoError) and error.timeout
    )
    if timed_out and _is_over(current_call().deadline):
        return DeadlineExceeded("the deadline of the call has passed")
    if timed_out or _is_passing(error):
        return StoreUnavailable("the store of record does not answer")
    return None


def _is_passing(error: Exception) -> bool:
    """Tell whether it is what a server, a failover or a rival does, and not what was asked."""
    if isinstance(error, AutoReconnect):
        return True
    if isinstance(error, OperationFailure) and error.code in _PASSING_CODES:
        return True
    return isinstance(error, PyMongoError) and any(map(error.has_error_label, _PASSING_LABELS))


def _is_over(deadline: float | None) -> bool:
    return deadline is not None and deadline - monotonic() <= _GIVES_UP_BEFORE_S


class StoreUnavailable(Unavailable):
    """MongoDB does not answer in time."""

    reason = "STORE_UNAVAILABLE"
