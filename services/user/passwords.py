"""Passwords hashed with argon2id in threads of their own, with places shared fairly.

A call takes a place before it asks MongoDB for anything, and hashes in its turn. Places are
shared by dynamic thresholds (Choudhury and Hahne, 1998): a share takes another one only while it
holds fewer than are free. One share alone gets half of the places, k of them a (k+1)th part each,
and as much stays free for the next. Turns go round the shares, one hash each.
"""

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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
_OWN: Final = "service"  # the share of the service itself

Result = TypeVar("Result")


class Argon2Passwords:
    """Hashes passwords in a pool of ``workers`` threads; ``queue`` more calls hold a place."""

    def __init__(self, pool: Executor, workers: int, queue: int) -> None:
        self._pool = pool
        self._held: Counter[str] = Counter()  # by share; no entry where there is none
        self._turns = _Turns(workers)
        self.figures: Final = HashFigures(workers + queue)
        self._hasher = PasswordHasher(
            time_cost=_TIME_COST,
            memory_cost=_MEMORY_COST_KIB,
            parallelism=_PARALLELISM,
            type=Type.ID,
        )
        self._nobodys_hash = self._hasher.hash(secrets.token_urlsafe(32))

    @contextmanager
    def place(self, share: str) -> Iterator["Place"]:
        """Hold a place for the block. Raises ``LoginOverloaded``."""
        if self._held[share] >= self.figures.places - self.figures.taken:
            self.figures.refused += 1
            raise LoginOverloaded
        self._held[share] += 1
        self.figures.taken += 1
        try:
            yield Place(self, share)
        finally:
            self.figures.taken -= 1
            self._held[share] -= 1
            if not self._held[share]:
                del self._held[share]

    async def hash(self, password: str) -> str:
        """Return a new hash of a password, for the service itself. Raises ``LoginOverloaded``."""
        with self.place(_OWN) as place:
            return await place.hash(password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the hash is one of this password, likewise."""
        with self.place(_OWN) as place:
            return await place.verify(password, password_hash)

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters."""
        return self._hasher.check_needs_rehash(password_hash)

    async def hash_in_turn(self, share: str, password: str) -> str:
        """Return a new hash of a password."""
        return await self._in_turn(share, lambda: self._hasher.hash(opaque(password)))

    async def verify_in_turn(self, share: str, password: str, password_hash: str | None) -> bool:
        """Whether the hash is one of this password. None takes as long, and never is."""
        known = self._nobodys_hash if password_hash is None else password_hash
        matches = await self._in_turn(share, lambda: self._matches(known, password))
        return matches and password_hash is not None

    def _matches(self, password_hash: str, password: str) -> bool:
        # As given too: some hashes are older than the form in which they are made now.
        for form in dict.fromkeys((opaque(password), password)):
            with suppress(VerifyMismatchError):
                return self._hasher.verify(password_hash, form)
        return False

    async def _in_turn(self, share: str, work: Callable[[], Result]) -> Result:
        began = perf_counter()
        await self._turns.wait(share)
        loop = asyncio.get_running_loop()

        def end() -> None:
            self.figures.note(perf_counter() - began)
            self._turns.end()

        future = self._pool.submit(work)
        # A thread cannot be stopped: the turn of a cancelled call ends with its work.
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(end))
        return await asyncio.wrap_future(future)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the pool."""

    passwords: Argon2Passwords
    share: str

    async def hash(self, password: str) -> str:
        """Return a new hash of a password."""
        return await self.passwords.hash_in_turn(self.share, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the hash is one of this password. None takes as long, and never is."""
        return await self.passwords.verify_in_turn(self.share, password, password_hash)


class _Turns:
    """Gives ``limit`` turns at a time, going round the shares that wait (round robin)."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def wait(self, share: str) -> None:
        """Return when it is the caller's turn, who must end it."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(share, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave(share, turn)
            else:  # given and cancelled in the same moment
                self.end()
            raise

    def end(self) -> None:
        """Give the turn to the share that has waited longest since its last one."""
        self._free += 1
        while self._free and self._waiting:
            share = next(iter(self._waiting))
            queue = self._waiting.pop(share)
            turn = queue.popleft()
            if queue:
                self._waiting[share] = queue  # behind the others
            if not turn.done():
                self._free -= 1
                turn.set_result(None)

    def _leave(self, share: str, turn: asyncio.Future[None]) -> None:
        with suppress(KeyError, ValueError):
            self._waiting[share].remove(turn)
            if not self._waiting[share]:
                del self._waiting[share]


@contextmanager
def open_passwords(workers: int, queue: int) -> Iterator[Argon2Passwords]:
    """Start the threads, and at the end wait for the hashes being made."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
    try:
        yield Argon2Passwords(pool, workers, queue)
    finally:
        pool.shutdown(cancel_futures=True)
