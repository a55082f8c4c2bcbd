"""HTTP/2 written by hand, to say what no client library would (RFC 9113, RFC 7541)."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0x0, 0x1, 0x3, 0x4, 0x6, 0x9
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
    """Return what a client says first; ``window`` is how much it reads of each answer."""
    settings = b"" if window is None else struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
    return PREFACE + frame(SETTINGS, 0, 0, settings)


def call(path: str, stream: int, message: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """Return a whole call with one message, and more headers that may be no text."""
    block = grpc_headers(path) + b"".join(raw_literal(name, value) for name, value in more)
    prefixed = struct.pack(">BI", 0, len(message)) + message
    return frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, prefixed)


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
