"""Finding TCP ports that nothing else uses."""

import asyncio
import random
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Final

from services.stack.errors import PortTakenError, StackError

Tell = Callable[[str], None]

LOOPBACK: Final = "127.0.0.1"

# Outgoing connections take ports from 32768 up (Linux) or 49152 up (elsewhere).
_CLAIMABLE: Final = range(20_000, 26_000)
_GUARD_OFFSET: Final = 6_000
_ATTEMPTS: Final = 100
_CONNECTION_KEEPS_PORT_S: Final = 65.0
_POLL_S: Final = 0.1


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        return _bind_as_server(probe, port)


def require_free(port: int, variable: str) -> int:
    """Return the port if it is free.

    Raises ``PortTakenError`` naming the environment variable that chooses another.
    """
    if not is_free(port):
        raise PortTakenError(port, f"stop what uses it, or set {variable} to another port")
    return port


@asynccontextmanager
async def reserved_port(port: int, variable: str, tell: Tell) -> AsyncIterator[int]:
    """Keep a port for a server of ours until the end, and wait for it if that may help.

    The services' usual ports are among those that Linux gives to outgoing connections, and it
    keeps them for a minute after these have ended. Raises ``PortTakenError`` naming the
    environment variable that chooses another port.
    """
    await _wait_for_ended_connection(port, tell)
    require_free(port, variable)
    with socket.socket() as reservation:
        # Other systems would not let the server listen beside it.
        if sys.platform == "linux":
            _bind_as_server(reservation, port)
        yield port


async def _wait_for_ended_connection(port: int, tell: Tell) -> None:
    for attempt in range(int(_CONNECTION_KEEPS_PORT_S / _POLL_S)):
        if is_free(port) or _is_served(port):
            return
        if attempt == 0:
            tell(f"waiting for port {port}, which a connection used: up to a minute")
        await asyncio.sleep(_POLL_S)


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


def _is_served(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def _bind_as_server(probe: socket.socket, port: int) -> bool:
    # As servers do: connections to it that ended a moment ago do not keep the port.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return _bind(probe, port)


def _bind(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind((LOOPBACK, port))
    except OSError:
        return False
    return True
