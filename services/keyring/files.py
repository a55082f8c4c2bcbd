"""Files that are written whole or not at all, by one at a time."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SECRET: Final = 0o600
PUBLIC: Final = 0o644
_WAIT_FOR_ANOTHER_S: Final = 5.0
_POLL_S: Final = 0.05


def write_whole(path: Path, content: bytes, mode: int = SECRET) -> None:
    """Write the file whole or not at all, unreadable for others from its first moment.

    When this returns, it outlives a power failure. What root writes belongs to the folder's owner.
    """
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET), "wb") as file:
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    move(part, path)


def move(source: Path, target: Path) -> None:
    """Put a file in another's place, at once, and so that a power failure does not undo it."""
    source.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep others who ask for the same out of the folder until the end.

    Raises ``TimeoutError`` when another one does not end within a few seconds.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        _lock(lock)
        yield
    finally:
        os.close(lock)


def _lock(lock: int) -> None:
    end = time.monotonic() + _WAIT_FOR_ANOTHER_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise TimeoutError from None
            time.sleep(_POLL_S)
        else:
            return
