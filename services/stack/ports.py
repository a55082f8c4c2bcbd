"""Finding TCP ports that nothing else uses."""

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from services.stack.errors import PortTakenError, StackError

LOOPBACK: Final = "127.0.0.1"

# Outgoing connections take ports from 32768 up (Linux) or 49152 up (elsewhere).
_CLAIMABLE: Final = range(20_000, 26_000)
_GUARD_OFFSET: Final = 6_000
_ATTEMPTS: Final = 100


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        # As servers do: connections that ended a moment ago do not keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _bind(probe, port)


def require_free(port: int, variable: str) -> int:
    """Return the port if it is free.

    Raises ``PortTakenError`` naming the environment variable that chooses another.
    """
    if not is_free(port):
        raise PortTakenError(port, f"stop what uses it, or set {variable} to another port")
    return port


@contextmanager
def claimed_ports(count: int) -> Iterator[tuple[int, ...]]:
    """Choose free ports that no other claimant on this machine gets until the end.

    Each claim is a socket bound to a second port, ``_GUARD_OFFSET`` above the claimed one: of
    two claimants only one can bind it, and the system frees it however the claimant ends.
    """
    with ExitStack() as claims:
        yield tuple(_claim(claims) for _ in range(count))


def _claim(claims: ExitStack) -> int:
    for port in random.SystemRandom().sample(_CLAIMABLE, _ATTEMPTS):
        guard = claims.enter_context(socket.socket())
        if _bind(guard, port + _GUARD_OFFSET) and is_free(port):
            return port
        guard.close()
    raise StackError(f"no free port between {_CLAIMABLE.start} and {_CLAIMABLE.stop}")


def _bind(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind((LOOPBACK, port))
    except OSError:
        return False
    return True
