"""What is known about the call being served, wherever the code is."""

import itertools
import re
import secrets
import time
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final, Protocol

from services.common.auth.principal import ANONYMOUS
from services.common.errors import DeadlineExceeded
from services.common.freshness import Freshness, Source
from services.common.rpc.transport import raw_metadata

REQUEST_ID_KEY: Final = "x-request-id"
_ACCEPTED: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PROCESS: Final = secrets.token_hex(6)
_numbers: Final = itertools.count(1)
_WHATEVER_IS_FASTEST: Final = Freshness.NEAR  # looking up a member costs as much as all the rest


class Carrier(Protocol):
    """What a call came with: a gRPC context, for example."""

    def invocation_metadata(self) -> Iterable[tuple[str, Any]] | None:
        """Return the metadata that the client sent."""
        ...


class Call:
    """One call: its name, what came with it, who makes it, and when it must be over.

    The name and the metadata are read when they are first asked for: most calls need neither.
    ``deadline`` is in seconds of the monotonic clock; None outside a call. A call that is not
    ``logged`` leaves no line when it is refused. ``freshness`` says what may answer its reads;
    ``source`` and ``age_ms`` what did, if caches were involved, and how old it was.
    """

    __slots__ = (
        "_metadata",
        "_request_id",
        "age_ms",
        "carrier",
        "deadline",
        "freshness",
        "logged",
        "principal",
        "source",
    )

    def __init__(
        self,
        request_id: str = "",
        deadline: float | None = None,
        carrier: Carrier | None = None,
    ) -> None:
        self.carrier = carrier
        self._metadata: Iterable[tuple[str, Any]] | None = None
        self._request_id = request_id
        self.principal = ANONYMOUS
        self.logged = True
        self.deadline = deadline
        self.freshness = _WHATEVER_IS_FASTEST
        self.source: Source | None = None
        self.age_ms = 0

    def answered_from(self, source: Source, age_ms: int = 0) -> None:
        """Note what answered a read of this call. Of several, the farthest and oldest count."""
        known = self.source
        if known is None or source > known:
            self.source = source
        if age_ms > self.age_ms:  # noqa: PLR1730 (max() takes longer than all the rest)
            self.age_ms = age_ms

    @property
    def metadata(self) -> Iterable[tuple[str, Any]]:
        """What the client sent beside its request."""
        if self._metadata is None:
            if self.carrier is None:
                return ()
            self._metadata = raw_metadata(self.carrier)
        return self._metadata

    @property
    def request_id(self) -> str:
        """The name of the call in logs, here and in the services it reaches."""
        if not self._request_id:
            self._request_id = _acceptable_request_id(self.metadata) or _new_request_id()
        return self._request_id

    @property
    def known_request_id(self) -> str:
        """The name of the call if it was asked for before, without reading the metadata.

        Log lines have it: grpcio logs while it reads metadata.
        """
        return self._request_id or "-"


def _acceptable_request_id(metadata: Iterable[tuple[str, Any]]) -> str | None:
    for key, value in metadata:
        if key == REQUEST_ID_KEY and isinstance(value, str) and _ACCEPTED.fullmatch(value):
            return value
    return None


def _new_request_id() -> str:
    return f"{_PROCESS}-{next(_numbers):x}"


_OUTSIDE: Final = Call(request_id="-")
_current: ContextVar[Call] = ContextVar("call", default=_OUTSIDE)


def current_call() -> Call:
    """Return the call being served by this task, or an anonymous one outside any."""
    return _current.get()


def enter_call(call: Call) -> None:
    """Make ``call`` the current one for this task and the tasks it starts."""
    _current.set(call)


def own_call(carrier: Carrier) -> Call:
    """Return the call that came with ``carrier``, entering a new one where there is none.

    A server started while another call was served passes that one on to its tasks: it is not
    this one.
    """
    call = _current.get()
    if call is _OUTSIDE or (call.carrier is not None and call.carrier is not carrier):
        call = Call(carrier=carrier)
        _current.set(call)
    elif call.carrier is None:
        call.carrier = carrier
    return call


def remaining_s(at_most_s: float, margin_s: float = 0.0) -> float:
    """Return how many seconds the current call has left, never more than ``at_most_s``.

    ``margin_s`` of them are kept for the answer. Raises ``DeadlineExceeded`` when none are left.
    """
    deadline = _current.get().deadline
    if deadline is None:
        return at_most_s
    left = deadline - time.monotonic() - margin_s
    if left <= 0:
        raise DeadlineExceeded("the deadline of the call has passed")
    return min(left, at_most_s)
