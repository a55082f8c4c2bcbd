"""A MongoDB replica set of three servers on loopback, each of which may be killed."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect, PyMongoError

from services.stack.binaries import find_mongod
from services.stack.folder import DataFolder
from services.stack.ports import LOOPBACK, claimed_ports
from services.stack.processes import Child, running

NAME: Final = "rs0"
MEMBERS: Final = 3
ELECTION_TIMEOUT_MS: Final = 2_000
_CACHE_GB: Final = "0.25"
_OPLOG_MB: Final = "64"
_TRANSACTION_LIFETIME_S: Final = 5
_READY_WITHIN_S: Final = 60.0
_ATTEMPT_WITHIN_MS: Final = 2_000
_ANSWERS_WITHIN_MS: Final = 30_000
_POLL_S: Final = 0.05
_PRIMARY: Final = 1
_SECONDARY: Final = 2


@dataclass(slots=True)
class Member:
    """One server: its port, its files, and its process while there is one."""

    port: int
    folder: DataFolder
    child: Child | None = None
    _life: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def host(self) -> str:
        """Its address, as the set knows it."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def client(self) -> AsyncMongoClient[dict[str, Any]]:
        """A new client of this server alone."""
        return self._client(_ANSWERS_WITHIN_MS)

    def _client(self, found_within_ms: int) -> AsyncMongoClient[dict[str, Any]]:
        return AsyncMongoClient(
            LOOPBACK, self.port, directConnection=True, serverSelectionTimeoutMS=found_within_ms
        )

    async def command(self, words: dict[str, Any]) -> dict[str, Any]:
        """Give this server a command of an administrator."""
        async with self.client as client:
            return await client.admin.command(words)

    async def asked(self, words: dict[str, Any]) -> dict[str, Any]:
        """Give it a command that is given again if it does not answer soon."""
        async with self._client(_ATTEMPT_WITHIN_MS) as client:
            return await client.admin.command(words)

    async def start(self, *, alone: bool = False) -> None:
        """Run the server on its files; it answers, but may not have caught up, on return.

        ``alone``, it belongs to no set, and its history of the set is a database like others.
        """
        command = [
            str(await find_mongod()),
            *("--bind_ip", LOOPBACK, "--port", str(self.port), "--nounixsocket", "--quiet"),
            *("--dbpath", str(self.folder.mongodb)),
            *(() if alone else ("--replSet", NAME)),
            *("--wiredTigerCacheSizeGB", _CACHE_GB, "--oplogSize", _OPLOG_MB),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--setParameter", f"transactionLifetimeLimitSeconds={_TRANSACTION_LIFETIME_S}"),
            *("--setParameter", "enableTestCommands=1"),
        ]
        log = self.folder.log("mongod")
        self.child = await self._life.enter_async_context(running("mongod", command, log))
        await self._answer()

    async def _answer(self) -> None:
        async with asyncio.timeout(_READY_WITHIN_S):
            while True:
                with suppress(PyMongoError):
                    await self.asked({"ping": 1})
                    return
                await asyncio.sleep(_POLL_S)

    async def kill(self) -> None:
        """End the server without a word."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End the server in order; its files are then whole."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> None:
        if self.child is not None and self.child.process.returncode is None:
            self.child.process.send_signal(number)
            await self.child.process.wait()
        await self._life.aclose()
        self.child = None


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """The servers of a set."""

    members: Sequence[Member]

    @property
    def uri(self) -> str:
        """The address of the set, by all its servers."""
        hosts = ",".join(member.host for member in self.members)
        return f"mongodb://{hosts}/?replicaSet={NAME}"

    async def primary(self) -> Member:
        """Return the server that takes writes, waiting for an election that is under way."""
        async with asyncio.timeout(_READY_WITHIN_S):
            while True:
                for member in self._alive():
                    with suppress(PyMongoError):
                        if (await member.asked({"hello": 1}))["isWritablePrimary"]:
                            return member
                await asyncio.sleep(_POLL_S)

    async def secondaries(self) -> list[Member]:
        """Return the servers that follow."""
        primary = await self.primary()
        return [member for member in self._alive() if member is not primary]

    async def caught_up(self, member: Member) -> None:
        """Wait until a server has all that the primary has now."""
        wanted = (await (await self.primary()).command({"ping": 1}))["operationTime"]
        async with asyncio.timeout(_READY_WITHIN_S):
            while (await member.command({"ping": 1}))["operationTime"] < wanted:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)

    async def step_down(self) -> None:
        """Have the primary hand over to another in order, as before maintenance."""
        primary = await self.primary()
        with suppress(AutoReconnect):  # it may end the connection as well
            await primary.command({"replSetStepDown": 60, "secondaryCatchUpPeriodSecs": 30})

    async def whole(self) -> None:
        """Wait until there is a primary and all others follow it."""
        async with asyncio.timeout(_READY_WITHIN_S):
            while not await self._is_whole():  # noqa: ASYNC110 (it is asked)
                await asyncio.sleep(_POLL_S)

    async def _is_whole(self) -> bool:
        try:
            status = await (await self.primary()).asked({"replSetGetStatus": 1})
        except PyMongoError:
            return False
        states = sorted(member["state"] for member in status["members"])
        return states == [_PRIMARY] + [_SECONDARY] * (len(self.members) - 1)

    def _alive(self) -> list[Member]:
        return [member for member in self.members if member.child is not None]


@asynccontextmanager
async def running_replica_set(
    path: Path, election_timeout_ms: int = ELECTION_TIMEOUT_MS, **settings: object
) -> AsyncIterator[ReplicaSet]:
    """Run a new set; it has a primary, and all follow it, when the block is entered.

    ``settings`` are more of those of the set's configuration.
    """
    async with AsyncExitStack() as opened:
        ports = opened.enter_context(claimed_ports(MEMBERS))
        replica_set = ReplicaSet([member_in(path / str(port), port) for port in ports])
        for member in replica_set.members:
            opened.push_async_callback(member.kill)
            await member.start()
        config = {
            "_id": NAME,
            "members": [
                {"_id": number, "host": member.host}
                for number, member in enumerate(replica_set.members)
            ],
            "settings": {"electionTimeoutMillis": election_timeout_ms, **settings},
        }
        await replica_set.members[0].command({"replSetInitiate": config})
        await replica_set.whole()
        yield replica_set


def member_in(path: Path, port: int) -> Member:
    """Return a server that is not started yet, with its files in a folder of its own."""
    folder = DataFolder(path)
    folder.prepare()
    return Member(port, folder)
