"""Passwords hashed with argon2id, in threads of their own and no more at once than they take."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore
from time import perf_counter
from typing import Final, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import VerifyMismatchError

from services.user.figures import HashFigures
from services.user.model import LoginOverloaded, opaque

# The least that the OWASP Password Storage Cheat Sheet recommends for argon2id. More memory
# or time would buy each guess against a stolen database a constant factor, and take the same
# from the logins per second.
_TIME_COST: Final = 2
_MEMORY_COST_KIB: Final = 19_456
_PARALLELISM: Final = 1

Result = TypeVar("Result")


class Argon2Passwords:
    """Hashes passwords in a pool of ``workers`` threads with at most ``queue`` waiting."""

    def __init__(self, pool: Executor, workers: int, queue: int) -> None:
        self._pool = pool
        self._places = BoundedSemaphore(workers + queue)
        self.figures: Final = HashFigures(workers + queue)
        self._hasher = PasswordHasher(
            time_cost=_TIME_COST,
            memory_cost=_MEMORY_COST_KIB,
            parallelism=_PARALLELISM,
            type=Type.ID,
        )
        self._nobodys_hash = self._hasher.hash(secrets.token_urlsafe(32))

    async def hash(self, password: str) -> str:
        """Return a new hash of a password. Raises ``LoginOverloaded``."""
        return await self._in_pool(lambda: self._hasher.hash(opaque(password)))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the hash is one of this password. Raises ``LoginOverloaded``."""
        known = self._nobodys_hash if password_hash is None else password_hash
        matches = await self._in_pool(lambda: self._matches(known, password))
        return matches and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters."""
        return self._hasher.check_needs_rehash(password_hash)

    def _matches(self, password_hash: str, password: str) -> bool:
        # As given too: some hashes are older than the form in which they are made now.
        for form in dict.fromkeys((opaque(password), password)):
            with suppress(VerifyMismatchError):
                return self._hasher.verify(password_hash, form)
        return False

    async def _in_pool(self, work: Callable[[], Result]) -> Result:
        if not self._places.acquire(blocking=False):
            self.figures.refused += 1
            raise LoginOverloaded
        began = perf_counter()
        self.figures.take()
        future = self._pool.submit(work)
        # A cancelled call leaves its place when the work is over, or at once if not begun.
        future.add_done_callback(lambda _: self._leave(began))
        return await asyncio.wrap_future(future)

    def _leave(self, began: float) -> None:
        self._places.release()
        self.figures.leave(perf_counter() - began)


@contextmanager
def open_passwords(workers: int, queue: int) -> Iterator[Argon2Passwords]:
    """Start the threads, and at the end wait for the hashes being made."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
    try:
        yield Argon2Passwords(pool, workers, queue)
    finally:
        pool.shutdown(cancel_futures=True)
