"""What services say to their stores, heard on the wire between them.

Nothing of the services is changed or looked into: whatever client they use, what leaves the
process passes here.
"""

import asyncio
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import bson
from hiredis import Reader

from bench.relay import CHUNK, Line, Relay

_HEADER: Final = 16
_OP_MSG: Final = 2013
_BODY: Final = _HEADER + 5  # after the flags, and the byte that says that a body follows

# What a process does beside its calls. There is no call that does any of it.
_HOUSEKEEPING: Final = {"hello", "isMaster", "ismaster", "ping", "endSessions"}
_WATCH: Final = "cache_backstop"
PREFIXES: Final = ("product", "user_profile", "user_orders")


@dataclass(slots=True)
class Heard:
    """The round trips that belong to calls, in the order in which they began."""

    queries: list[str] = field(default_factory=list)
    redis: list[str] = field(default_factory=list)
    streams: int = 0
    """How many change streams were asked for."""
    last_s: float = 0.0
    """When the last of all began, by the monotonic clock."""

    def query(self, what: str) -> None:
        """Note a command to MongoDB: its driver waits for each answer, so it is a round trip."""
        self.queries.append(what)
        self.last_s = time.monotonic()

    def redis_trip(self, what: str) -> None:
        """Note commands that went to Redis together."""
        self.redis.append(what)
        self.last_s = time.monotonic()


class Ear(Protocol):
    """Listens to one connection."""

    def said(self, data: bytes) -> bool:
        """Hear what the client sends; return whether some of it belongs to a call."""
        ...

    def answered(self) -> None:
        """Hear that the store has answered."""
        ...


class MongoEar:
    """Hears the commands on one connection to MongoDB.

    Left out are greetings and pings, and what concerns the position in the changes.
    """

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._buffer = b""

    def said(self, data: bytes) -> bool:
        """Hear what the client sends."""
        self._buffer += data
        before = len(self._heard.queries)
        while len(self._buffer) >= _HEADER:
            length = int.from_bytes(self._buffer[:4], "little")
            if len(self._buffer) < length:
                break
            message, self._buffer = self._buffer[:length], self._buffer[length:]
            if int.from_bytes(message[12:16], "little") == _OP_MSG:
                size = int.from_bytes(message[_BODY : _BODY + 4], "little")
                self._command(bson.decode(message[_BODY : _BODY + size]))
        return len(self._heard.queries) > before

    def answered(self) -> None:
        """Hear that MongoDB has answered."""

    def _command(self, command: dict[str, Any]) -> None:
        name, target = next(iter(command.items()))
        if name == "aggregate" and "$changeStream" in str(command["pipeline"][:1]):
            self._heard.streams += 1
        elif name not in _HOUSEKEEPING and _WATCH not in (target, command.get("collection")):
            self._heard.query(f"{name} {target}" if isinstance(target, str) else name)


class RedisEar:
    """Hears the commands on one connection to Redis.

    What belongs to a call names a value. Probes, subscriptions and echoes name none. Commands
    that follow each other before an answer are one round trip.
    """

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._reader = Reader()
        self._open = False

    def said(self, data: bytes) -> bool:
        """Hear what the client sends."""
        self._reader.feed(data)
        found = False
        while (command := self._reader.gets()) is not False:
            named = [word for word in command if _names_a_value(word)]
            if not named:
                continue
            found = True
            if not self._open:
                self._open = True
                verb = command[0].decode()
                self._heard.redis_trip(f"{verb} {len(named)} x {named[0].decode()}")
        return found

    def answered(self) -> None:
        """Hear that Redis has answered."""
        self._open = False


def _names_a_value(word: bytes) -> bool:
    prefix, colon, value_id = word.partition(b":")
    return bool(colon and value_id) and prefix.decode(errors="replace") in PREFIXES


class Wire:
    """A way to a store on which everything is heard, and answers to calls can be held up."""

    def __init__(self, host: str, port: int, ear: Callable[[], Ear]) -> None:
        self._relay = Relay((host, port), self._line)
        self._ear = ear
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._relay.port

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold up the answers to what belongs to calls until the end of the block."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Accept connections, on a free port, until the end of the block."""
        async with self._relay.opened():
            yield

    def _line(self) -> Line:
        heard = _HeardLine(self._ear(), self._flowing)
        return Line(heard.there, heard.back)


class _HeardLine:
    """One connection."""

    def __init__(self, ear: Ear, flowing: asyncio.Event) -> None:
        self._ear = ear
        self._flowing = flowing
        self._of_call = False

    async def there(self, reader: StreamReader, writer: StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            self._of_call = self._ear.said(data)
            writer.write(data)
            await writer.drain()

    async def back(self, reader: StreamReader, writer: StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            self._ear.answered()
            if self._of_call:
                await self._flowing.wait()
            writer.write(data)
            await writer.drain()
