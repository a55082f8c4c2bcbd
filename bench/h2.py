"""Unary gRPC calls over cleartext HTTP/2, as cheap as Python can make them: ``python -m bench.h2``.

A client of its own, since those of gRPC cost more than the server that is measured. It writes
frames made beforehand and reads little more than the heads of those that come back; yet each call
must bring a message and the status OK, or the run has failed.

The first line of its standard input is a plan (``bench.load.Target`` as JSON); each further one
says how many calls to make and how many at a time on each of four connections. The messages and the
metadata of the plan are taken in turn, from where the last run ended. For each run it writes a line
of JSON: how long the calls took (``seconds``), what they cost this process (``cpu_s``), where the
answers came from by their ``x-cache`` (``sources``), or ``error``.
"""

import asyncio
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import cycle
from typing import Any, Final, cast

import orjson
import uvloop

from bench.hpack import Metadata, UnreadableHeadersError, call_headers, values

CONNECTIONS: Final = 4
NO_SOURCE: Final = "none"

_DATA, _HEADERS, _RST_STREAM, _SETTINGS = 0x0, 0x1, 0x3, 0x4
_PING, _GOAWAY, _WINDOW_UPDATE = 0x6, 0x7, 0x8
_END_STREAM: Final = 0x1
_ACK: Final = 0x1
_END_HEADERS: Final = 0x4
_PADDED_OR_WEIGHTED: Final = 0x28
_HEADER_TABLE_SIZE, _ENABLE_PUSH, _MAX_CONCURRENT_STREAMS, _INITIAL_WINDOW_SIZE = 1, 2, 3, 4
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_HEAD: Final = struct.Struct(">HBBBI")
_HEAD_BYTES: Final = 9
_STREAM: Final = struct.Struct(">I")
_SETTING: Final = struct.Struct(">HI")
_FIRST_WINDOW: Final = 65_535
_LARGEST_WINDOW: Final = 2**31 - 1
_LARGEST_MESSAGE: Final = 16_384 - 5
_MESSAGE_HEAD_BYTES: Final = 5
_CONNECT_WITHIN_S: Final = 10.0
_LEAST_LIMIT_S: Final = 60.0
_SLOWEST_PER_S: Final = 250.0


class BrokenRunError(Exception):
    """The run cannot go on, or came to no end."""


Request = tuple[bytes, bytes, bytes, bytes]
"""Head and content of the HEADERS frame, then of the DATA frame, all without the stream."""


class Script:
    """The requests of a target, made once and taken in turn without end."""

    def __init__(
        self, address: str, method: str, messages: Sequence[bytes], metadata: Sequence[Metadata]
    ) -> None:
        blocks = [call_headers(address, method, pairs) for pairs in metadata]
        framed = [_framed(message) for message in messages]
        self.address: Final = address
        self.largest: Final = max(map(len, framed))
        self._headers = cycle([(_head(_HEADERS, _END_HEADERS, len(b)), b) for b in blocks])
        self._messages = cycle(framed)
        self._data_heads = {size: _head(_DATA, _END_STREAM, size) for size in set(map(len, framed))}

    def requests(self, calls: int) -> Iterator[Request]:
        """Yield the next so many requests."""
        for _ in range(calls):
            head, block = next(self._headers)
            message = next(self._messages)
            yield head, block, self._data_heads[len(message)], message


class Run:
    """So many calls over several connections, and how they end."""

    def __init__(self, script: Script, calls: int, per_connection: int) -> None:
        self.requests = script.requests(calls)
        self.calls: Final = calls
        self.per_connection: Final = per_connection
        self.largest: Final = script.largest
        self.ready: Final = asyncio.Event()
        self.over: Final = asyncio.Event()
        self.problem = ""
        self.ended = 0
        self.sources: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._greeted = 0

    def greeted(self) -> None:
        """Note that the server has taken one more connection."""
        self._greeted += 1
        if self._greeted == CONNECTIONS:
            self.ready.set()

    def succeeded(self, source: str) -> None:
        """Count a call that brought its answer."""
        self.sources[source] += 1
        self._count()

    def failed(self, reason: str) -> None:
        """Count a call that did not."""
        self._failures[reason] += 1
        self._count()

    def breaks(self, reason: str) -> None:
        """End the run, unless it is over."""
        if not self.over.is_set():
            self.problem = reason
            self.ready.set()
            self.over.set()

    def check(self) -> None:
        """Raise ``BrokenRunError`` if anything went wrong."""
        if self.problem:
            raise BrokenRunError(self.problem)
        if self._failures:
            raise BrokenRunError(f"calls failed: {dict(self._failures)} of {self.calls:,}")

    def _count(self) -> None:
        self.ended += 1
        if self.ended == self.calls:
            self.over.set()


class Connection(asyncio.Protocol):
    """One connection of a run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._transport: asyncio.Transport
        self._rest = b""
        self._received: dict[int, int] = {}  # bytes, by open stream
        self._next_stream = 1
        self._may_send = _FIRST_WINDOW
        self._unacknowledged = 0
        self._begun = self._greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what a client says first; the windows are as wide as they can be."""
        self._transport = cast("asyncio.Transport", transport)
        settings = (
            (_HEADER_TABLE_SIZE, 0),
            (_ENABLE_PUSH, 0),
            (_INITIAL_WINDOW_SIZE, _LARGEST_WINDOW),
        )
        self._transport.write(
            _PREFACE
            + _frame(_SETTINGS, b"".join(_SETTING.pack(*setting) for setting in settings))
            + _frame(_WINDOW_UPDATE, _STREAM.pack(_LARGEST_WINDOW - _FIRST_WINDOW))
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """End the run if it still goes on."""
        self._run.breaks("the server closed a connection")

    def data_received(self, data: bytes) -> None:
        """Take in whole frames and begin as many calls as have ended."""
        try:
            self._rest = self._read(self._rest + data if self._rest else data)
        except (BrokenRunError, UnreadableHeadersError) as error:
            self._run.breaks(str(error))
            self._transport.abort()
            return
        if self._unacknowledged > _LARGEST_WINDOW // 2:
            self._transport.write(_frame(_WINDOW_UPDATE, _STREAM.pack(self._unacknowledged)))
            self._unacknowledged = 0
        if self._begun:
            self.begin()

    def begin(self) -> None:
        """Begin calls until enough are open, as far as the server's window lets them."""
        self._begun = True
        frames: list[bytes] = []
        received, run = self._received, self._run
        while len(received) < run.per_connection and self._may_send >= run.largest:
            request = next(run.requests, None)
            if request is None:
                break
            headers_head, block, data_head, message = request
            stream = _STREAM.pack(self._next_stream)
            frames += (headers_head, stream, block, data_head, stream, message)
            received[self._next_stream] = 0
            self._next_stream += 2
            self._may_send -= len(message)
        if frames:
            self._transport.write(b"".join(frames))

    def close(self) -> None:
        """Close the connection."""
        self._transport.abort()

    def _read(self, data: bytes) -> bytes:
        """Take in the whole frames and return the rest."""
        at, end = 0, len(data)
        while end - at >= _HEAD_BYTES:
            high, low, kind, flags, stream = _FRAME_HEAD.unpack_from(data, at)
            start = at + _HEAD_BYTES
            stop = start + (high << 8 | low)
            if stop > end:
                break
            if kind == _DATA:
                self._take_data(stream, stop - start, flags)
            elif kind == _HEADERS:
                self._take_headers(stream, data[start:stop], flags)
            else:
                self._take_control(kind, flags, stream, data[start:stop])
            at = stop
        return data[at:]

    def _take_data(self, stream: int, size: int, flags: int) -> None:
        self._unacknowledged += size
        if stream not in self._received:
            raise BrokenRunError("data came for a call that was not open")
        self._received[stream] += size
        if flags & _END_STREAM:
            del self._received[stream]
            self._run.failed("an answer without a status")

    def _take_headers(self, stream: int, block: bytes, flags: int) -> None:
        if not flags & _END_HEADERS or flags & _PADDED_OR_WEIGHTED:
            raise BrokenRunError("headers came in a form that no server of ours uses")
        if not flags & _END_STREAM:
            return
        size = self._received.pop(stream, None)
        if size is None:
            raise BrokenRunError("headers came for a call that was not open")
        status, source = _ending(block)
        if status != "0":
            self._run.failed(f"status {status}")
        elif size <= _MESSAGE_HEAD_BYTES:
            self._run.failed("an answer without content")
        else:
            self._run.succeeded(source)

    def _take_control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _WINDOW_UPDATE:
            if stream == 0:
                self._may_send += _STREAM.unpack(payload)[0]
        elif kind == _PING:
            if not flags & _ACK:
                self._transport.write(_frame(_PING, payload, _ACK))
        elif kind == _SETTINGS:
            if not flags & _ACK:
                self._take_settings(payload)
        elif kind == _RST_STREAM:
            if self._received.pop(stream, None) is not None:
                self._run.failed(f"reset with code {_STREAM.unpack(payload)[0]}")
        elif kind == _GOAWAY:
            code = _STREAM.unpack_from(payload, 4)[0]
            raise BrokenRunError(f"the server said GOAWAY with code {code}")

    def _take_settings(self, payload: bytes) -> None:
        settings = dict(_SETTING.iter_unpack(payload))
        at_once = self._run.per_connection
        if settings.get(_MAX_CONCURRENT_STREAMS, at_once) < at_once:
            raise BrokenRunError("the server takes too few calls per connection")
        if settings.get(_INITIAL_WINDOW_SIZE, _FIRST_WINDOW) < self._run.largest:
            raise BrokenRunError("the server's windows are too small for the messages")
        self._transport.write(_frame(_SETTINGS, b"", _ACK))
        if not self._greeted:
            self._greeted = True
            self._run.greeted()


@lru_cache(maxsize=65_536)
def _ending(block: bytes) -> tuple[str, str]:
    """Return the status and the source that trailers tell of.

    Many calls end with the same bytes, and without a table of headers these always mean the same.
    """
    found = values(block, ("grpc-status", "x-cache"))
    source = found.get("x-cache", NO_SOURCE).partition(";")[0].strip()
    return found.get("grpc-status", "unreadable or missing"), source


def _head(kind: int, flags: int, size: int) -> bytes:
    return size.to_bytes(3, "big") + bytes((kind, flags))


def _frame(kind: int, payload: bytes, flags: int = 0) -> bytes:
    """Return a frame about the whole connection."""
    return _head(kind, flags, len(payload)) + _STREAM.pack(0) + payload


def _framed(message: bytes) -> bytes:
    if len(message) > _LARGEST_MESSAGE:
        raise ValueError(f"a message of {len(message):,} bytes does not fit into one frame")
    return b"\0" + len(message).to_bytes(4, "big") + message


async def make_calls(script: Script, calls: int, per_connection: int) -> dict[str, Any]:
    """Make so many calls, so many at a time on each connection, and return what there is to tell.

    Raises ``BrokenRunError`` when a call fails, or they do not all end in time.
    """
    run = Run(script, calls, per_connection)
    connections: list[Connection] = []
    try:
        async with asyncio.timeout(_CONNECT_WITHIN_S):
            connections.extend([await _connected(script.address, run) for _ in range(CONNECTIONS)])
            await run.ready.wait()
        run.check()
        started, begun = time.perf_counter(), time.process_time()
        async with asyncio.timeout(_LEAST_LIMIT_S + calls / _SLOWEST_PER_S):
            for connection in connections:
                connection.begin()
            await run.over.wait()
        seconds, cpu_s = time.perf_counter() - started, time.process_time() - begun
        run.check()
    except TimeoutError:
        raise BrokenRunError(f"only {run.ended:,} of {calls:,} calls ended in time") from None
    except OSError as error:
        raise BrokenRunError(f"{script.address} cannot be reached: {error}") from None
    finally:
        for connection in connections:
            connection.close()
    return {"seconds": seconds, "cpu_s": cpu_s, "sources": run.sources}


async def _connected(address: str, run: Run) -> Connection:
    host, _, port = address.rpartition(":")
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(run), host, int(port)
    )
    return connection


def _script(plan: dict[str, Any]) -> Script:
    return Script(
        plan["address"],
        plan["method"],
        [bytes.fromhex(message) for message in plan["messages"]],
        [tuple((name, value) for name, value in pairs) for pairs in plan["metadata"]],
    )


def _serve_runs() -> None:
    script = _script(orjson.loads(sys.stdin.buffer.readline()))
    for line in sys.stdin.buffer:
        try:
            outcome = uvloop.run(make_calls(script, *map(int, line.split())))
        except BrokenRunError as error:
            outcome = {"error": str(error)}
        sys.stdout.buffer.write(orjson.dumps(outcome) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _serve_runs()
