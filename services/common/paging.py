"""Pages of a list (AIP-158): sizes, and tokens that say where the next page begins."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

import orjson

from services.common.errors import InvalidArgument

DEFAULT_PAGE_SIZE: Final = 20
MAX_PAGE_SIZE: Final = 100
_DIGEST_BYTES: Final = 8
_MAX_TOKEN_CHARS: Final = 512

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items and the token of the page after them, empty if there is none."""

    items: tuple[Item, ...]
    next_page_token: str


def _foreign() -> InvalidArgument:
    """Return the refusal of a token that this list did not give."""
    return InvalidArgument.of("page_token", "is not a token of this list with these filters")


def page_size(requested: int) -> int:
    """Return how many items to give: the default for 0, never more than the maximum.

    Raises ``InvalidArgument`` for a negative size.
    """
    if requested < 0:
        raise InvalidArgument.of("page_size", "must not be negative")
    return min(requested or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def encode_page_token(position: tuple[str, ...], scope: tuple[str, ...]) -> str:
    """Return the token for the page that begins after ``position``.

    ``scope`` is what the list depends on (the method and its filters); the token is good
    for that list alone.
    """
    payload = orjson.dumps(position)
    return base64.urlsafe_b64encode(_digest(payload, scope) + payload).rstrip(b"=").decode()


def decode_page_token(token: str, scope: tuple[str, ...], parts: int) -> tuple[str, ...]:
    """Return the position, of so many parts, in a token made for the same scope.

    Raises ``InvalidArgument`` for any other text.
    """
    if len(token) > _MAX_TOKEN_CHARS:
        raise _foreign()
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _foreign() from None
    digest, payload = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if not hmac.compare_digest(digest, _digest(payload, scope)):
        raise _foreign()
    return _position(payload, parts)


def encode_time_token(moment: datetime, item_id: str, scope: tuple[str, ...]) -> str:
    """Return the token for the page that begins after an item, in a list ordered by time and id."""
    return encode_page_token((moment.isoformat(), item_id), scope)


def decode_time_token(token: str, scope: tuple[str, ...]) -> tuple[datetime, str]:
    """Return the time and id in a token made by ``encode_time_token`` for the same scope.

    Raises ``InvalidArgument`` for any other text.
    """
    moment, item_id = decode_page_token(token, scope, parts=2)
    try:
        time = datetime.fromisoformat(moment)
    except ValueError:
        raise _foreign() from None
    if time.tzinfo is not UTC:  # at another offset it may be beyond what MongoDB is told
        raise _foreign()
    return time, item_id


def _position(payload: bytes, parts: int) -> tuple[str, ...]:
    """Return what a token says. Its digest has no key: whoever wants to can make one up."""
    try:
        position = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise _foreign() from None
    if not isinstance(position, list) or len(position) != parts:
        raise _foreign()
    if not all(isinstance(part, str) for part in position):
        raise _foreign()
    return tuple(position)


def _digest(payload: bytes, scope: tuple[str, ...]) -> bytes:
    return hashlib.blake2b(orjson.dumps(scope) + payload, digest_size=_DIGEST_BYTES).digest()
