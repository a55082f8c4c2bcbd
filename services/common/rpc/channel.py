"""Channels from one service to another."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, TypeVar

import grpc
from grpc import aio

from services.common.auth.tokens import ServiceIdentity
from services.common.call import current_call, remaining_s
from services.common.errors import DeadlineExceeded, Unavailable
from services.common.rpc.interceptors.request_log import REQUEST_ID_KEY
from services.common.rpc.status import read_refusal

_OPTIONS: Final = (
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
_ANSWER_MARGIN_S: Final = 0.05

Request = TypeVar("Request", contravariant=True)
Response = TypeVar("Response", covariant=True)


class UnaryMethod(Protocol[Request, Response]):
    """A unary method of a generated stub."""

    def __call__(  # noqa: D102
        self,
        request: Request,
        /,
        *,
        timeout: float,
        metadata: Any,
    ) -> Awaitable[Response]: ...


class PeerUnavailable(Unavailable):
    """Another service does not answer."""

    reason = "PEER_UNAVAILABLE"


@asynccontextmanager
async def open_channel(target: str) -> AsyncIterator[aio.Channel]:
    """Open a pooled channel and close it at the end. The peer need not be reachable yet."""
    channel = aio.insecure_channel(target, options=_OPTIONS)
    try:
        yield channel
    finally:
        await channel.close()


class PeerCaller:
    """Calls another service as this one: with its identity, the request id, and the time left."""

    def __init__(self, peer: str, identity: ServiceIdentity, timeout_s: float) -> None:
        self._peer = peer
        self._identity = identity
        self._timeout_s = timeout_s

    async def call(self, method: UnaryMethod[Request, Response], request: Request) -> Response:
        """Return the answer.

        Raises ``PeerUnavailable`` when the peer is down or overloaded, ``DeadlineExceeded``
        when no time is left, and ``grpc.aio.AioRpcError`` for what the peer refuses.
        """
        timeout_s = remaining_s(self._timeout_s + _ANSWER_MARGIN_S) - _ANSWER_MARGIN_S
        if timeout_s <= 0:
            raise DeadlineExceeded("the deadline of the call has passed")
        metadata = (
            ("authorization", f"Bearer {self._identity.token()}"),
            (REQUEST_ID_KEY, current_call().request_id),
        )
        try:
            return await method(request, timeout=timeout_s, metadata=metadata)
        except aio.AioRpcError as error:
            if error.code() in _DOWN:
                reason = read_refusal(error).reason or error.code().name
                raise PeerUnavailable(
                    f"the {self._peer} service does not answer",
                    {"peer": self._peer, "peer_reason": reason},
                ) from error
            raise


_DOWN: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
}
