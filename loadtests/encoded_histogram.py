"""What an encoded histogram has recorded, read with the standard library alone.

The encoding is HdrHistogram's V2, compressed and in base64: two numbers (a cookie and a length),
then deflated: a header and one counter per bucket, as ZigZag LEB128, where a negative one stands
for so many empty buckets. Buckets are as wide as the significant figures allow, and each time that
the values double so does the width. https://github.com/HdrHistogram/HdrHistogram describes it.
"""

import base64
import binascii
import struct
import zlib
from collections.abc import Iterator
from math import ceil, floor, log2
from typing import Final

_COMPRESSED: Final = 0x1C849304
_PLAIN: Final = 0x1C849303
_WORD_SIZE: Final = 0xF0  # the bits of a cookie that say how wide counters were
_OUTER: Final = struct.Struct(">II")  # cookie, length
_INNER: Final = struct.Struct(">IIIIQQd")
# cookie, length, index offset, significant figures, lowest, highest, ratio to a double
_LONGEST: Final = 16 * 1024 * 1024  # of a payload; a fine histogram of an hour takes 200 kB


class UnreadableHistogramError(ValueError):
    """The text is not a histogram in HdrHistogram's V2 encoding; says why."""


def recorded(encoded: str) -> list[tuple[int, int]]:
    """Return the values that were recorded, ascending, each with how often.

    A value is the middle of its bucket, in the unit in which it was recorded.
    Raises ``UnreadableHistogramError``.
    """
    payload = _inflated(encoded)
    if len(payload) < _INNER.size:
        raise UnreadableHistogramError("the payload ends within its header")
    cookie, length, _, figures, lowest, _, _ = _INNER.unpack_from(payload)
    if cookie & ~_WORD_SIZE != _PLAIN:
        raise UnreadableHistogramError(f"the payload's cookie is {cookie:#x}: not version 2")
    if not (1 <= figures <= 5 and lowest >= 1):
        raise UnreadableHistogramError("the payload's header has impossible settings")
    if len(payload) - _INNER.size < length:
        raise UnreadableHistogramError("the payload is shorter than it says")
    unit = floor(log2(lowest))
    half = ceil(log2(2 * 10**figures)) - 1
    counts = _counts(payload[_INNER.size : _INNER.size + length])
    return [(_middle(index, unit, half), count) for index, count in counts]


def _inflated(encoded: str) -> bytes:
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnreadableHistogramError(f"it is not base64: {error}") from error
    if len(raw) < _OUTER.size:
        raise UnreadableHistogramError("it ends within its first header")
    cookie, length = _OUTER.unpack_from(raw)
    if cookie & ~_WORD_SIZE != _COMPRESSED:
        raise UnreadableHistogramError(f"its cookie is {cookie:#x}: not version 2, compressed")
    if len(raw) - _OUTER.size != length:
        raise UnreadableHistogramError("it is not as long as it says")
    try:
        return zlib.decompressobj().decompress(raw[_OUTER.size :], _LONGEST)
    except zlib.error as error:
        raise UnreadableHistogramError(f"it cannot be inflated: {error}") from error


def _counts(coded: bytes) -> Iterator[tuple[int, int]]:
    index = 0
    for number in _numbers(coded):
        if number > 0:
            yield index, number
        index += -number if number < 0 else 1


def _numbers(coded: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in coded:
        # Of a 64-bit number, the ninth byte holds eight bits and has no flag.
        ninth = shift == 56
        number |= (byte if ninth else byte & 0x7F) << shift
        if ninth or not byte & 0x80:
            yield (number >> 1) ^ -(number & 1)
            number = shift = 0
        else:
            shift += 7
    if shift:
        raise UnreadableHistogramError("the last counter is cut off")


def _middle(index: int, unit: int, half: int) -> int:
    """Return the middle of a bucket; the first 2 ** half are the fine half of the first row."""
    row, place = (index >> half) - 1, (index & ((1 << half) - 1)) + (1 << half)
    if row < 0:
        row, place = 0, place - (1 << half)
    width = 1 << (row + unit)
    return place * width + (width >> 1)
