"""HTTP/2 written by hand, to say what no client library would (RFC 9113, RFC 7541)."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0x0, 0x1, 0x3, 0x4, 0x6, 0x9
GOAWAY = 0x7
ACK = 0x1
END_STREAM, END_HEADERS = 0x1, 0x4
INITIAL_WINDOW_SIZE = 0x4
CANCEL = 8


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: str, value: str) -> bytes:
    """Return a header that is not indexed, both strings plain (RFC 7541, 6.2.2)."""
    return raw_literal(name.encode(), value.encode())


def raw_literal(name: bytes, value: bytes) -> bytes:
    """Return such a header of any bytes."""
    assert max(len(name), len(value)) < 127
    return b"".join((b"\0", bytes([len(name)]), name, bytes([len(value)]), value))


def grpc_headers(path: str) -> bytes:
    """Return the header block of a gRPC call."""
    pairs = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "load"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    )
    return b"".join(literal(name, value) for name, value in pairs)


def hello(window: int | None = None) -> bytes:
    """Return what a client says first; with a window, that it takes so much of each answer."""
    own = b"" if window is None else struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
    return PREFACE + frame(SETTINGS, 0, 0, own)


def message(body: bytes, said: int | None = None) -> bytes:
    """Return a message as gRPC frames it; ``said`` is how long it claims to be."""
    return struct.pack(">BI", 0, len(body) if said is None else said) + body


def whole_call(path: str, stream: int, body: bytes = b"", *more: tuple[bytes, bytes]) -> bytes:
    """Return a unary call of a short message, and more headers that may be no text."""
    block = grpc_headers(path) + b"".join(raw_literal(name, value) for name, value in more)
    headers = frame(HEADERS, END_HEADERS, stream, block)
    return headers + frame(DATA, END_STREAM, stream, message(body))


@dataclass
class Connection:
    """A connection that acknowledges what it must, and what has come over it: kinds, payloads."""

    writer: asyncio.StreamWriter
    received: list[tuple[int, bytes]] = field(default_factory=list)
    closed: bool = False

    def send(self, *parts: bytes) -> None:
        """Send frames."""
        self.writer.write(b"".join(parts))

    def got(self, kind: int) -> list[bytes]:
        """Return the payloads of the frames of a kind."""
        return [payload for received, payload in self.received if received == kind]

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Read until the other side closes."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3]))
                kind, flags = head[3], head[4]
                self.received.append((kind, payload))
                if kind in {SETTINGS, PING} and not flags & ACK:
                    self.send(frame(kind, ACK, 0, payload if kind == PING else b""))
        self.closed = True


@asynccontextmanager
async def connected(port: int, *first: bytes) -> AsyncIterator[Connection]:
    """Connect to a port of this host, send frames and go on reading."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = Connection(writer)
    connection.send(*first)
    reading = asyncio.create_task(connection.read(reader))
    try:
        yield connection
    finally:
        reading.cancel()
        writer.transport.abort()


def begun_and_cancelled(path: str, calls: int, first: int = 1) -> bytes:
    """Return so many calls, each taken back at once."""
    block, reset = grpc_headers(path), struct.pack(">I", CANCEL)
    return b"".join(
        frame(HEADERS, END_HEADERS, stream, block) + frame(RST_STREAM, 0, stream, reset)
        for stream in range(first, first + 2 * calls, 2)
    )


@contextmanager
def unread(port: int, calls: bytes) -> Iterator[None]:
    """Make calls on a connection and read no answer until the end."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(hello(window=0) + calls)
        yield
