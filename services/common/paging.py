"""Pages of a list (AIP-158): sizes, and tokens that say where the next page begins."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
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


def decode_page_token(token: str, scope: tuple[str, ...]) -> tuple[str, ...]:
    """Return the position in a token made by ``encode_page_token`` for the same scope.

    Raises ``InvalidArgument`` for any other text.
    """
    foreign = InvalidArgument.of("page_token", "is not a token of this list with these filters")
    if len(token) > _MAX_TOKEN_CHARS:
        raise foreign
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise foreign from None
    digest, payload = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if not hmac.compare_digest(digest, _digest(payload, scope)):
        raise foreign
    position: tuple[str, ...] = tuple(orjson.loads(payload))
    return position


def _digest(payload: bytes, scope: tuple[str, ...]) -> bytes:
    return hashlib.blake2b(orjson.dumps(scope) + payload, digest_size=_DIGEST_BYTES).digest()
