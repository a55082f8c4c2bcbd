"""Channels from one service to another."""

import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import grpc
import orjson
from google.protobuf.message import Message
from grpc import aio

from services.common.auth.tokens import ServiceIdentity
from services.common.call import REQUEST_ID_KEY, current_call, remaining_s
from services.common.errors import Unavailable
from services.common.rpc.channel_options import DIRECT, authority
from services.common.rpc.status import read_refusal
from services.common.telemetry.peers import PeerMetrics
from services.common.tls import TlsFiles

_OPTIONS: Final = (
    *DIRECT,
    ("grpc.keepalive_time_ms", 60_000),  # servers allow pings every 10 s
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),  # also what a busy peer has to take a connection
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # When all addresses that a name had are gone, the next ones are wanted at once, not in 30 s.
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
)
_RETRY_POLICY: Final = {
    "maxAttempts": 5,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.4s",
    "backoffMultiplier": 2,
    # A grpcio server that stops ends the calls that it has not taken yet with CANCELLED.
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}
# Half of the tokens must last for an instance that stops: each of its callers may lose a few.
_RETRY_THROTTLING: Final = {"maxTokens": 100, "tokenRatio": 0.1}
_ANSWER_MARGIN_S: Final = 0.05
# Services tell why they fail. Without that it is the transport, or something on the way.
_NOT_THE_SERVICE: Final = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
_DOWN: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    # It does not believe this service: the caller's own token was found good before.
    grpc.StatusCode.UNAUTHENTICATED,
}

Request = TypeVar("Request", bound=Message, contravariant=True)
Response = TypeVar("Response", covariant=True)


class UnaryMethod(Protocol[Request, Response]):
    """A unary method of a generated stub."""

    def __call__(
        self,
        request: Request,
        /,
        *,
        timeout: float,
        metadata: Any,
    ) -> Awaitable[Response]:
        """Begin the call."""
        ...


class PeerUnavailable(Unavailable):
    """Another service does not answer."""

    reason = "PEER_UNAVAILABLE"


def service_config(service: str, idempotent: Sequence[str], *, by_name: bool = False) -> str:
    """Return how a channel behaves (gRFC A2), as JSON.

    Calls go round all addresses of the target. Of the methods named, those that a server did
    not take are tried again, up to five times in all, and less while many fail (gRFC A6).

    ``by_name`` the target may be several instances: only those are called that say that they serve
    (gRFC A17). At a single address there is no other to go to, and trying again is better.
    """
    config: dict[str, object] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{"service": service, "method": method} for method in idempotent],
                "retryPolicy": _RETRY_POLICY,
            }
        ],
        "retryThrottling": _RETRY_THROTTLING,
    }
    if by_name:
        config["healthCheckConfig"] = {"serviceName": service}
    return orjson.dumps(config).decode()


@asynccontextmanager
async def open_channel(
    target: str, service: str = "", idempotent: Sequence[str] = (), tls: TlsFiles | None = None
) -> AsyncIterator[aio.Channel]:
    """Open a pooled channel to a service and close it at the end. It need not be up yet.

    ``idempotent`` names the methods of ``service`` that may be tried again.
    """
    config = service_config(service, idempotent, by_name=target.startswith("dns:"))
    options = (*_OPTIONS, *authority(target), ("grpc.service_config", config))
    if tls is None:
        channel = aio.insecure_channel(target, options=options)
    else:
        channel = aio.secure_channel(target, tls.channel_credentials(), options=options)
    try:
        yield channel
    finally:
        await channel.close()


@dataclass(frozen=True, slots=True)
class PeerCaller:
    """Calls another service as this one: with its identity, the request id, and the time left.

    ``peer`` is the full name of the service called.
    """

    peer: str
    identity: ServiceIdentity
    timeout_s: float
    metrics: PeerMetrics = field(default_factory=PeerMetrics)

    async def call(
        self,
        method: UnaryMethod[Request, Response],
        request: Request,
        *metadata: tuple[str, str],
    ) -> Response:
        """Return the answer. What ``metadata`` says goes with the request.

        Raises ``PeerUnavailable`` when the peer is down, overloaded, cannot be understood or does
        not trust this service's key, ``DeadlineExceeded`` when no time is left, and
        ``grpc.aio.AioRpcError`` for what the peer refuses.
        """
        timeout_s = remaining_s(self.timeout_s, _ANSWER_MARGIN_S)
        all_metadata = (
            *metadata,
            ("authorization", f"Bearer {self.identity.token(self.peer)}"),
            (REQUEST_ID_KEY, current_call().request_id),
        )
        started, code = time.perf_counter(), grpc.StatusCode.CANCELLED
        try:
            response = await method(request, timeout=timeout_s, metadata=all_metadata)
        except aio.AioRpcError as error:
            code = error.code()
            reason = read_refusal(error).reason
            if code in _DOWN or (code in _NOT_THE_SERVICE and not reason):
                raise self._unavailable(reason or code.name) from error
            raise
        else:
            code = grpc.StatusCode.OK
            return response
        finally:
            self.metrics.count(self.peer, method_name(request), code, started)

    def _unavailable(self, reason: str) -> PeerUnavailable:
        return PeerUnavailable(
            f"{self.peer} does not answer", {"peer": self.peer, "peer_reason": reason}
        )


def method_name(request: Message) -> str:
    """Return the method that takes this request: by the contracts' rule, FooRequest goes to Foo."""
    return request.DESCRIPTOR.name.removesuffix("Request")
