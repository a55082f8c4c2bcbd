"""The pixels of a PNG as browsers write it: eight bits a channel, not interlaced."""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {2: 3, 6: 4}  # red, green and blue, without and with opacity


def pixels(png: bytes) -> list[tuple[int, int, int]]:
    """All pixels from left to right and from top to bottom, as red, green and blue."""
    chunks = list(_chunks(png))
    width, _, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    assert (depth, interlaced) == (8, 0)
    size = CHANNELS[kind]
    data = zlib.decompress(b"".join(content for name, content in chunks if name == b"IDAT"))
    found: list[tuple[int, int, int]] = []
    above = bytes(width * size)
    for start in range(0, len(data), width * size + 1):
        above = _unfiltered(data[start], data[start + 1 : start + 1 + width * size], above, size)
        found += [(above[at], above[at + 1], above[at + 2]) for at in range(0, len(above), size)]
    return found


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    assert png.startswith(SIGNATURE)
    at = len(SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


def _unfiltered(kind: int, row: bytes, above: bytes, size: int) -> bytes:
    done = bytearray(row)
    for at in range(len(done)):
        left, up = (done[at - size] if at >= size else 0), above[at]
        corner = above[at - size] if at >= size else 0
        guess = (0, left, up, (left + up) // 2, _paeth(left, up, corner))[kind]
        done[at] = (done[at] + guess) & 0xFF
    return bytes(done)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda each: abs(guess - each))
