"""What may be put round the seams of a service, chosen when it is put together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pymongo.monitoring import CommandListener

from services.common.auth.tokens import ServiceIdentity
from services.common.background import Work, as_it_is
from services.common.batching import Batcher
from services.common.redis.servers import RedisServers
from services.common.rpc.channel import PeerCaller
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.telemetry.peers import PeerMetrics


class NewPeerCaller(Protocol):
    """Makes what calls another service."""

    def __call__(
        self, peer: str, identity: ServiceIdentity, timeout_s: float, metrics: PeerMetrics, /
    ) -> PeerCaller:
        """Return it."""
        ...


def _the_same(redis: RedisServers) -> RedisServers:
    return redis


@dataclass(frozen=True, slots=True)
class Instruments:
    """What watches a service at its seams; by default nothing does, and nothing is in between.

    ``interceptors`` run within the current call and around all that may refuse it. ``work`` is put
    round work beside the calls, under its name.
    """

    interceptors: Sequence[MethodInterceptor] = ()
    peer_caller: NewPeerCaller = PeerCaller
    mongo_listeners: Sequence[CommandListener] = ()
    redis: Callable[[RedisServers], RedisServers] = _the_same
    batcher: type[Batcher[Any, Any]] = Batcher
    work: Callable[[str, Work], Work] = as_it_is


NO_INSTRUMENTS: Final = Instruments()
