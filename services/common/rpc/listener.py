"""Freeing a port that a library of its own listens on."""

import contextlib
import os
import socket
import stat
from pathlib import Path
from typing import Final

_DESCRIPTORS: Final = Path("/dev/fd")


def stop_listening(port: int) -> None:
    """Refuse new connections to a port that this process listens on; those that are there go on.

    The descriptor of what listens is given to a socket that nobody knows of, so that whoever
    accepts from it waits in peace, and closes in the end what it thinks it opened. A process that
    may open nothing more goes on listening.
    """
    with contextlib.suppress(OSError):
        for descriptor in _listening_on(port):
            with socket.create_server(("127.0.0.1", 0)) as unknown:
                unknown.setblocking(False)  # noqa: FBT003
                os.dup2(unknown.fileno(), descriptor, inheritable=False)


def _listening_on(port: int) -> list[int]:
    descriptors = (int(entry.name) for entry in _DESCRIPTORS.iterdir())
    return [descriptor for descriptor in descriptors if _listens(descriptor, port)]


def _listens(descriptor: int, port: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        with socket.socket(fileno=os.dup(descriptor)) as looked_at:
            listens = looked_at.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            return bool(listens) and looked_at.getsockname()[1:2] == (port,)
    except OSError:  # it is closed by now
        return False
