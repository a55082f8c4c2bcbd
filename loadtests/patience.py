"""Repeating calls that are not measured, while the shop has no room for them or is not up."""

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import grpc

from loadtests.refusals import retry_delay_s

_ATTEMPTS: Final = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: 8,
    # Few: a shop that is not there is to be said soon.
    grpc.StatusCode.UNAVAILABLE: 5,
}
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 5.0

Answer = TypeVar("Answer")


def persistently(call: Callable[[], Answer]) -> Answer:
    """Return what a call returns, made again while it is refused for the moment.

    That is up to eight times in all where there is no room for it, and up to five where nobody
    answers. Between attempts it waits for 50 ms, twice as long each time, and for no less than the
    shop says. Raises ``grpc.RpcError`` after the last, for any other status at once, and when the
    shop wants to be left alone for more than five seconds. The call must be one that may be
    repeated.
    """
    pause_s = _FIRST_PAUSE_S
    attempt = 0
    while True:
        attempt += 1
        try:
            return call()
        except grpc.RpcError as error:
            refused: Any = error
            wanted_s = retry_delay_s(refused)
            if attempt >= _ATTEMPTS.get(refused.code(), 1) or wanted_s > _LONGEST_PAUSE_S:
                raise
        time.sleep(max(pause_s, wanted_s))
        pause_s *= 2
