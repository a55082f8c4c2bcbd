"""The folder that keeps what the stack must find again: data, secrets and logs."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.stack.errors import StackError

_WAIT_FOR_ANOTHER_S: Final = 5.0
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The data folder of one stack. Only its owner may look into it."""

    path: Path

    @property
    def mongodb(self) -> Path:
        """The files of MongoDB."""
        return self.path / "mongodb"

    @property
    def redis(self) -> Path:
        """The working directory of Redis."""
        return self.path / "redis"

    @property
    def secrets(self) -> Path:
        """The generated keys and passwords."""
        return self.path / "secrets"

    @property
    def logs(self) -> Path:
        """What the processes of the last start wrote."""
        return self.path / "logs"

    def log(self, name: str) -> Path:
        """Return the log file of one process."""
        return self.logs / f"{name}.log"

    def prepare(self) -> None:
        """Make the folders that are not there yet. Raises ``StackError`` if that cannot be."""
        try:
            for folder in (self.path, self.mongodb, self.redis, self.secrets, self.logs):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StackError(
                f"{error.filename} cannot be used: {error.strerror}; "
                "set SHOP_DATA_DIR to a folder of yours"
            ) from None

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keep other stacks out until this one and all its children have ended.

        Raises ``StackError`` when another stack does not end within a few seconds.
        """
        lock = os.open(self.path / "stack.lock", os.O_RDWR | os.O_CREAT, 0o600)
        os.set_inheritable(lock, True)  # noqa: FBT003
        try:
            await self._lock(lock)
            yield
        finally:
            os.close(lock)

    async def _lock(self, lock: int) -> None:
        for _ in range(int(_WAIT_FOR_ANOTHER_S / _POLL_S)):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(_POLL_S)
            else:
                return
        raise StackError(
            f"another stack runs on {self.path}: stop it, or set SHOP_DATA_DIR to another folder"
        )
