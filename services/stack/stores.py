"""MongoDB and Redis as child processes on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.common.mongo import MongoDriver, MongoOptions, NoTransactionsError, open_mongo
from services.stack.binaries import find_mongod, find_redis_server
from services.stack.errors import ChildEndedError, PortTakenError, StackError
from services.stack.folder import DataFolder
from services.stack.ports import LOOPBACK, claimed_ports, is_free
from services.stack.processes import Child, attended, running

TRANSACTION_LIFETIME_S: Final = 5
_REPLICA_SET: Final = "rs0"
_MONGODB_CACHE_GB: Final = "0.5"
_MONGODB_OPLOG_MB: Final = "512"
_REDIS_MEMORY: Final = "256mb"
_START_WITHIN_S: Final = 60.0
_ATTEMPT_WITHIN_MS: Final = 2_000
_POLL_S: Final = 0.05
_PORTS_TO_TRY: Final = 5
_NOT_YET_INITIALIZED: Final = 94
_ADDRESS_IN_USE: Final = b"Address already in use"


@dataclass(frozen=True, slots=True)
class Store:
    """A running store: how to reach it and its process."""

    uri: str
    port: int
    child: Child


def running_mongod(
    folder: DataFolder, port: int | None = None
) -> AbstractAsyncContextManager[Store]:
    """Run MongoDB as a one-node replica set, on the given port or on a free one.

    It is writable when the block is entered, and what it acknowledged is kept in the folder.
    """
    return _started(lambda port: _mongod(folder, port), port)


async def require_transactions(uri: str) -> None:
    """Raise ``StackError`` if the MongoDB that answers there cannot carry checkouts.

    What does not answer, or not to this user, is left to the services.
    """
    options = MongoOptions(uri, MongoDriver.PYMONGO, _ATTEMPT_WITHIN_MS)
    try:
        async with open_mongo(options, "admin") as mongo:
            await mongo.confirm_transactions()
    except NoTransactionsError as error:
        raise StackError(str(error)) from None
    except (PyMongoError, ValueError):
        return


def running_redis(
    folder: DataFolder, port: int | None = None
) -> AbstractAsyncContextManager[Store]:
    """Run a Redis-compatible server as a cache, on the given port or on a free one."""
    return _started(lambda port: _redis_server(folder, port), port)


@asynccontextmanager
async def _started(
    start: Callable[[int], AbstractAsyncContextManager[Store]], port: int | None
) -> AsyncIterator[Store]:
    async with AsyncExitStack() as opened:
        if port is None:
            yield await _on_a_claimed_port(opened, start)
        else:
            yield await opened.enter_async_context(start(port))


async def _on_a_claimed_port(
    opened: AsyncExitStack, start: Callable[[int], AbstractAsyncContextManager[Store]]
) -> Store:
    for _ in range(_PORTS_TO_TRY):
        (port,) = opened.enter_context(claimed_ports(1))
        with suppress(PortTakenError):  # by somebody who does not claim ports
            return await opened.enter_async_context(start(port))
    raise StackError(f"{_PORTS_TO_TRY} free ports were taken before they could be used")


@asynccontextmanager
async def _mongod(folder: DataFolder, port: int) -> AsyncIterator[Store]:
    command = [
        str(await find_mongod()),
        *("--bind_ip", LOOPBACK, "--port", str(port), "--nounixsocket"),
        *("--dbpath", str(folder.mongodb), "--replSet", _REPLICA_SET),
        *("--wiredTigerCacheSizeGB", _MONGODB_CACHE_GB, "--oplogSize", _MONGODB_OPLOG_MB),
        *("--setParameter", "diagnosticDataCollectionEnabled=false", "--quiet"),
        # What a killed service had begun keeps its products locked for so long, by default 60 s.
        *("--setParameter", f"transactionLifetimeLimitSeconds={TRANSACTION_LIFETIME_S}"),
    ]
    async with running("mongod", command, folder.log("mongod")) as child:
        await _ready(child, port, _become_primary(port))
        yield Store(f"mongodb://{LOOPBACK}:{port}/?replicaSet={_REPLICA_SET}", port, child)


@asynccontextmanager
async def _redis_server(folder: DataFolder, port: int) -> AsyncIterator[Store]:
    command = [
        str(await find_redis_server()),
        *("--bind", LOOPBACK, "--port", str(port), "--dir", str(folder.redis)),
        *("--save", "", "--appendonly", "no"),
        *("--maxmemory", _REDIS_MEMORY, "--maxmemory-policy", "allkeys-lru"),
    ]
    async with running("redis", command, folder.log("redis")) as child:
        await _ready(child, port, _answer_ping(port))
        yield Store(f"redis://{LOOPBACK}:{port}/0", port, child)


async def _ready(child: Child, port: int, work: Coroutine[Any, Any, None]) -> None:
    try:
        async with asyncio.timeout(_START_WITHIN_S):
            await attended([child], work)
    except ChildEndedError:
        if is_free(port) and not await asyncio.to_thread(_lost_port, child):
            raise
        raise PortTakenError(port, f"{child.name} cannot listen on it") from None
    except TimeoutError:
        raise StackError(
            f"{child.name} is not ready after {_START_WITHIN_S:.0f} s, see {child.log}"
        ) from None


def _lost_port(child: Child) -> bool:
    return _ADDRESS_IN_USE in child.log.read_bytes()


async def _listening(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            await asyncio.sleep(_POLL_S)
        else:
            writer.close()
            return


async def _answer_ping(port: int) -> None:
    await _listening(port)
    async with Redis(host=LOOPBACK, port=port) as client:
        while True:
            with suppress(RedisError):
                await client.execute_command("PING")  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(_POLL_S)


async def _become_primary(port: int) -> None:
    await _listening(port)
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        LOOPBACK, port, directConnection=True, serverSelectionTimeoutMS=_ATTEMPT_WITHIN_MS
    )
    async with client:
        while True:
            with suppress(PyMongoError):  # it is still starting
                if (await client.admin.command("hello"))["isWritablePrimary"]:
                    return
                await _agree_on_host(client, f"{LOOPBACK}:{port}")
            await asyncio.sleep(_POLL_S)


async def _agree_on_host(client: AsyncMongoClient[dict[str, Any]], host: str) -> None:
    """Make the replica set consist of this server under its present address."""
    wanted = {"_id": _REPLICA_SET, "members": [{"_id": 0, "host": host}]}
    try:
        config = (await client.admin.command("replSetGetConfig"))["config"]
    except OperationFailure as error:
        if error.code != _NOT_YET_INITIALIZED:
            raise
        await client.admin.command("replSetInitiate", wanted)
        return
    if [member["host"] for member in config["members"]] != [host]:
        moved = {**config, **wanted, "version": config["version"] + 1}
        # Under its old address the server finds no primary that could agree.
        await client.admin.command("replSetReconfig", moved, force=True)
