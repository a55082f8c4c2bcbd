"""As much of HPACK (RFC 7541) as a client needs that keeps no table of headers.

A peer that was told ``SETTINGS_HEADER_TABLE_SIZE`` 0 says every header in full or by its number in
the static table, so that a block means the same wherever it stands.
"""

from collections.abc import Iterable, Iterator
from typing import Final

Metadata = tuple[tuple[str, str], ...]

_STATIC_POST: Final = b"\x83"
_STATIC_HTTP: Final = b"\x86"
_AUTHORITY: Final = b"\x01"
_PATH: Final = b"\x04"
_CONTENT_TYPE: Final = b"\x0f\x10"
_STATIC_ENTRIES: Final = 61
_MAX_BLOCK: Final = 16_384

# The codes of up to 8 bits in order of their value, which is what canonical codes are: those of
# one length begin where the number says. They are all that names and numbers of gRPC are made of.
_SHORT_CODES: Final = (
    (5, 0b00000, "012aceiost"),
    (6, 0b010100, " %-./3456789=A_bdfghlmnpru"),
    (7, 0b1011100, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, 0b11111000, "&*,;XZ"),
)
_SHORT: Final = {
    (bits, first + place): character
    for bits, first, characters in _SHORT_CODES
    for place, character in enumerate(characters)
}
_LONGEST_PADDING: Final = 7


class UnreadableHeadersError(Exception):
    """A block of headers breaks the rules, or uses the table that it was told not to."""


def call_headers(authority: str, path: str, metadata: Metadata) -> bytes:
    """Return the headers of a gRPC call, nothing of which the peer is asked to remember.

    Raises ``ValueError`` if they do not fit into one frame.
    """
    block = b"".join(
        (
            _STATIC_POST,
            _STATIC_HTTP,
            _PATH + _string(path),
            _AUTHORITY + _string(authority),
            _CONTENT_TYPE + _string("application/grpc"),
            _literal("te", "trailers"),
            *(_literal(name, value) for name, value in metadata),
        )
    )
    if len(block) > _MAX_BLOCK:
        raise ValueError(f"{len(block):,} bytes of headers do not fit into one frame")
    return block


def values(block: bytes, names: Iterable[str]) -> dict[str, str]:
    """Return the values of the named headers, as far as they are there and can be read.

    Raises ``UnreadableHeadersError``.
    """
    wanted = frozenset(names)
    found: dict[str, str] = {}
    try:
        for name, value in _literals(block):
            text = _text(*name)
            if text in wanted and (content := _text(*value)) is not None:
                found[text] = content
    except IndexError:
        raise UnreadableHeadersError("a block of headers ends too early") from None
    return found


def unhuffed(coded: bytes) -> str | None:
    """Return what a Huffman code stands for; None if it holds a rare character."""
    text: list[str] = []
    bits = code = 0
    for byte in coded:
        for place in range(7, -1, -1):
            bits, code = bits + 1, code << 1 | byte >> place & 1
            character = _SHORT.get((bits, code))
            if character is not None:
                text.append(character)
                bits = code = 0
    padded = bits <= _LONGEST_PADDING and code == (1 << bits) - 1
    return "".join(text) if padded else None


def _literals(block: bytes) -> Iterator[tuple[tuple[bytes, bool], tuple[bytes, bool]]]:
    """Yield name and value of the headers that are spelt out, each with whether it is coded."""
    at, end = 0, len(block)
    while at < end:
        first = block[at]
        if first & 0x80:
            index, at = _number(block, at, 7)
            _require_static(index)
            continue
        if first & 0xE0 == 0x20:
            _, at = _number(block, at, 5)  # how large the peer's table is from now on
            continue
        index, at = _number(block, at, 6 if first & 0x40 else 4)
        if index:
            _require_static(index)
            _, at = _slice(block, at)
            continue
        name, at = _slice(block, at)
        value, at = _slice(block, at)
        yield name, value


def _require_static(index: int) -> None:
    if not 1 <= index <= _STATIC_ENTRIES:
        raise UnreadableHeadersError(f"header {index} is in no table that we keep")


def _number(block: bytes, at: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    number = block[at] & most
    at += 1
    if number < most:
        return number, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        number += (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at


def _slice(block: bytes, at: int) -> tuple[tuple[bytes, bool], int]:
    coded = block[at] >= 0x80
    length, at = _number(block, at, 7)
    end = at + length
    if end > len(block):
        raise UnreadableHeadersError("a block of headers ends too early")
    return (block[at:end], coded), end


def _text(raw: bytes, coded: bool) -> str | None:  # noqa: FBT001
    return unhuffed(raw) if coded else raw.decode("latin-1")


def _literal(name: str, value: str) -> bytes:
    return b"\0" + _string(name) + _string(value)


def _string(text: str) -> bytes:
    raw = text.encode("ascii")
    length = len(raw)
    if length < 0x7F:
        return bytes((length,)) + raw
    prefix = bytearray((0x7F,))
    rest = length - 0x7F
    while rest >= 0x80:
        prefix.append(rest & 0x7F | 0x80)
        rest >>= 7
    prefix.append(rest)
    return bytes(prefix) + raw
