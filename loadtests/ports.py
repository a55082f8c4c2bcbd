"""Free TCP ports for a shop of one's own."""

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

LOOPBACK: Final = "127.0.0.1"
# The rule by which the project's stacks and tests keep out of each other's way: whoever claims a
# port holds the one 6,000 above it.
_CLAIMABLE: Final = range(20_000, 26_000)
_GUARD_OFFSET: Final = 6_000


@contextmanager
def claimed_ports(count: int) -> Iterator[list[int]]:
    """Choose free ports that nobody else who claims ports here gets until the end."""
    with ExitStack() as claims:
        candidates = iter(random.SystemRandom().sample(_CLAIMABLE, len(_CLAIMABLE)))
        claimed: list[int] = []
        while len(claimed) < count:
            port = next(candidates)
            guard = claims.enter_context(socket.socket())
            if _binds(guard, port + _GUARD_OFFSET) and _is_free(port):
                claimed.append(port)
            else:
                guard.close()
        yield claimed


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _binds(probe, port)


def _binds(opened: socket.socket, port: int) -> bool:
    try:
        opened.bind((LOOPBACK, port))
    except OSError:
        return False
    return True
