"""Timing of single calls, in an interceptor round the generated stubs."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import grpc

from loadtests.arms import source_of

_X_CACHE: Final = "x-cache"


@dataclass(slots=True)
class Intent:
    """What a greenlet means by its next call: the arm it belongs to, and when it is due.

    ``due`` is on the clock of ``time.perf_counter`` and holds for one call; None means at once.
    """

    arm: str = ""
    due: float | None = None


class Heard(NamedTuple):
    """A call that has ended: ``error`` is its status if not OK, ``source`` as in ``x-cache``.

    ``elapsed_us`` counts from when the call was due; ``ended`` is a Unix time.
    """

    method: str
    arm: str
    ended: float
    elapsed_us: int
    error: str
    source: str
    response_bytes: int


_intent: ContextVar[Intent | None] = ContextVar("intent", default=None)


@contextmanager
def intending(arm: str = "", due: float | None = None) -> Iterator[Intent]:
    """Say what the calls within the block are for; ``due`` is when the first was to start."""
    intent = Intent(arm, due)
    token = _intent.set(intent)
    try:
        yield intent
    finally:
        _intent.reset(token)


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class TimingInterceptor(grpc.UnaryUnaryClientInterceptor):
    """Times each call in microseconds and tells how it ended; none goes without a timeout.

    A call that is made within ``intending(due=...)`` counts from then, so that what it had to
    wait for before it could start is part of its latency.
    """

    def __init__(self, tell: Callable[[Heard], None], timeout_s: float) -> None:
        self._tell = tell
        self._timeout_s = timeout_s

    def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """Make the call, tell how it went, and give back its outcome, also of a failed one."""
        details = client_call_details
        if details.timeout is None:
            details = _with_timeout(details, self._timeout_s)
        intent = _intent.get()
        started = time.perf_counter()
        arm = ""
        if intent is not None:
            arm = intent.arm
            if intent.due is not None:
                started, intent.due = intent.due, None
        outcome = continuation(details, request)
        code = outcome.code()  # waits for the end
        elapsed_us = round((time.perf_counter() - started) * 1_000_000)
        failed = code is not grpc.StatusCode.OK
        self._tell(
            Heard(
                method=_short(details.method),
                arm=arm,
                ended=time.time(),
                elapsed_us=elapsed_us,
                error=code.name if failed else "",
                source=_source(outcome.trailing_metadata()),
                response_bytes=0 if failed else outcome.result().ByteSize(),
            )
        )
        return outcome


def _with_timeout(details: Any, timeout_s: float) -> _Details:
    return _Details(
        method=details.method,
        timeout=timeout_s,
        metadata=details.metadata,
        credentials=details.credentials,
        wait_for_ready=getattr(details, "wait_for_ready", None),
        compression=getattr(details, "compression", None),
    )


def _short(method: str | bytes) -> str:
    name = method.decode() if isinstance(method, bytes) else method
    return name.rpartition("/")[2]


def _source(trailing: Any) -> str:
    for key, value in trailing or ():
        if key == _X_CACHE:
            return source_of(value)
    return ""
