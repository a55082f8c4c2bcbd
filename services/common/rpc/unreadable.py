"""Requests that are no message of their contract.

A transport left alone with one tells the client what the parser said, or a fault of ours, and
nobody what call it was. So it is handed on as ``UNREADABLE``, for the chain to refuse.
"""

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.message import DecodeError, Message

from services.common.errors import FieldViolation, InvalidArgument

UNREADABLE: Final = object()
"""Stands for a request that could not be read."""


class RequestUnreadable(InvalidArgument):
    """The bytes of the request are no message of its type."""

    reason = "REQUEST_UNREADABLE"

    def __init__(self) -> None:
        super().__init__([FieldViolation("request", "is no message of the type of this method")])


def reader(parse: Callable[[bytes], Message]) -> Callable[[bytes], Any]:
    """Return what reads requests as ``parse`` does, and ``UNREADABLE`` where that fails."""

    def read(raw: bytes) -> Any:
        try:
            return parse(raw)
        except DecodeError:
            return UNREADABLE

    return read
