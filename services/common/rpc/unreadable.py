"""Requests that are refused before they are messages: too large, or not of their type.

A transport left alone with one tells the client what the parser said, or a fault of ours, and
nobody what call it was. So the error that refuses it is handed on in its place, for the chain to
raise.
"""

from collections.abc import Callable
from math import inf
from typing import Any

from google.protobuf.message import DecodeError, Message

from services.common.errors import FieldViolation, InvalidArgument, ResourceExhausted


class RequestUnreadable(InvalidArgument):
    """The bytes of the request are no message of its type."""

    reason = "REQUEST_UNREADABLE"

    def __init__(self) -> None:
        super().__init__([FieldViolation("request", "is no message of the type of this method")])


class RequestTooLarge(ResourceExhausted):
    """The request has more bytes than its method can need.

    The status is the one that gRPC itself gives for what is too large for the transport.
    """

    reason = "REQUEST_TOO_LARGE"

    def __init__(self, size: int, at_most: int) -> None:
        message = f"the request has {size:,} bytes, this method takes at most {at_most:,}"
        super().__init__(message, retry_delay_s=inf)


def reader(parse: Callable[[bytes], Message], at_most: int) -> Callable[[bytes], Any]:
    """Return what reads requests as ``parse`` does.

    It returns an error in place of one that has more than ``at_most`` bytes, which are then not
    looked at, or that ``parse`` cannot read.
    """

    def read(raw: bytes) -> Any:
        if len(raw) > at_most:
            return RequestTooLarge(len(raw), at_most)
        try:
            return parse(raw)
        except DecodeError:
            return RequestUnreadable()

    return read
