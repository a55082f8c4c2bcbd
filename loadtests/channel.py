"""Channels to the services: one set for each user, or one for all."""

from collections.abc import Sequence
from typing import Final

import grpc

_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),
    # Otherwise channels of the same arguments share a connection.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.lb_policy_name", "round_robin"),  # over all replicas of a service
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class Channels:
    """Opens a channel to each address once, each with a connection of its own."""

    def __init__(self, interceptors: Sequence[grpc.UnaryUnaryClientInterceptor] = ()) -> None:
        self._interceptors = interceptors
        self._opened: dict[str, tuple[grpc.Channel, grpc.Channel]] = {}

    def to(self, target: str) -> grpc.Channel:
        """Return the channel to ``host:port``, with the interceptors round each call."""
        if target not in self._opened:
            bare = grpc.insecure_channel(target, options=_OPTIONS)
            self._opened[target] = (bare, grpc.intercept_channel(bare, *self._interceptors))
        return self._opened[target][1]

    def close(self) -> None:
        """Close all that is open; what is asked for afterwards opens again."""
        opened, self._opened = self._opened, {}
        for bare, _ in opened.values():
            bare.close()
