"""A Locust user that speaks gRPC; any scenario can be built on it."""

from typing import Any, ClassVar

import grpc
import grpc.experimental.gevent as grpc_gevent
import locust.stats
from grpc import RpcError
from locust import User

from loadtests.channel import Channels
from loadtests.timing import Heard, TimingInterceptor


def three_digits(response_time: float) -> float:
    """Return a time with three significant digits: Locust counts each value that it gets."""
    return float(f"{response_time:.3g}")


# Importing locust has patched the standard library, and no channel is open yet.
grpc_gevent.init_gevent()
# Locust itself rounds to whole milliseconds, in which a cached read is 0 or 1.
locust.stats.bucket_response_time = three_digits


class GrpcUser(User):  # type: ignore[misc]
    """A user whose calls through ``channel(target)`` are timed, counted by Locust and heard.

    A stub of the generated code on such a channel is used as always; what fails raises
    ``grpc.RpcError``. Calls without a timeout get ``timeout_s``. Channels are the user's own and
    closed when it stops, or with ``shared_channels`` those of all users of its class, which
    ``close_shared_channels`` closes.
    """

    abstract = True
    timeout_s: ClassVar[float] = 5.0
    shared_channels: bool = False
    _shared: ClassVar[dict[type, Channels]] = {}

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._own = self._new()

    def channel(self, target: str) -> grpc.Channel:
        """Return the channel to ``host:port``, opened when first asked for."""
        return (self._common() if self.shared_channels else self._own).to(target)

    def heard(self, call: Heard) -> None:
        """Take notice of a call that has ended; here it is told to Locust."""
        self.environment.events.request.fire(
            request_type="gRPC",
            name=f"{call.method} {call.arm}".rstrip(),
            response_time=call.elapsed_us / 1_000,
            response_length=call.response_bytes,
            exception=RpcError(call.error) if call.error else None,
            context={"source": call.source},
        )

    def on_stop(self) -> None:
        """Close the channels that are this user's own."""
        super().on_stop()
        self._own.close()

    @classmethod
    def close_shared_channels(cls) -> None:
        """Close the channels that the users of this class have shared."""
        channels = cls._shared.pop(cls, None)
        if channels is not None:
            channels.close()

    def _common(self) -> Channels:
        if type(self) not in self._shared:
            self._shared[type(self)] = self._new()
        return self._shared[type(self)]

    def _new(self) -> Channels:
        return Channels([TimingInterceptor(self.heard, self.timeout_s)])
