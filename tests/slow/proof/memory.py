"""Redis in memory, as far as the scripts of the cache use it, with one value and one lease."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.common.cache.lookup import Lookup
from services.common.cache.shared import LEASE_S, Fill, Lease

ID: Final = "1"
VERSIONS: Final[Lookup[int]] = Lookup("thing", int)


@dataclass(frozen=True)
class Guards:
    """What the scripts in Redis see to; the fake does the same, or not."""

    fill_needs_lease: bool = True
    value_deleted: bool = True
    lease_deleted: bool = True


ALL_GUARDS: Final = Guards()


class MemoryRedis:
    """One value and one lease, and what the scripts do to them."""

    def __init__(self, guards: Guards, clock: Callable[[], float]) -> None:
        self._guards = guards
        self._clock = clock
        self._lease_until = 0.0
        self.value: bytes | None = None
        self.lease = ""

    def look(self, token: str) -> bytes | Lease:
        if self.value is not None:
            return self.value
        if self.held():
            return Lease.TAKEN
        self.lease = token
        self._lease_until = self._clock() + LEASE_S
        return Lease.GRANTED

    def fill(self, fill: Fill) -> bool:
        if self.held() != fill.token and self._guards.fill_needs_lease:
            return False
        self.lease = ""
        if fill.raw:
            self.value = fill.raw
        return bool(fill.raw)

    def forget(self) -> None:
        if self._guards.value_deleted:
            self.value = None
        if self._guards.lease_deleted:
            self.lease = ""

    def held(self) -> str:
        """Return the token of the lease, empty if there is none any more."""
        return self.lease if self._clock() < self._lease_until else ""


def version_in(raw: bytes | None) -> int:
    """Return the version in a value, 0 for a remembered "not found", -1 for nothing."""
    if not raw:
        return -1
    snapshot = VERSIONS.read(ID, raw).snapshot
    return 0 if snapshot is None else snapshot.value
