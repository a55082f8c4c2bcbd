"""What happened in a run: every write, read and fault, on one monotonic clock.

Linux gives all processes of a machine the same ``CLOCK_MONOTONIC``, so that moments noted in one
process can be compared with those of another. All times are in seconds.

Each object has ranks, one for each state that its writer gives it; a later state has a greater one.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

NOT_THERE_YET: Final = 0
GONE: Final = 2**62
"""The rank of an object that was deleted."""

OK: Final = "OK"
NEAR: Final = "near"
UNLABELLED: Final = "unlabelled"
"""The source of an answer that does not say where it is from."""

KILL: Final = "service-kill"
CUT: Final = "cut"
"""One process alone is cut off from Redis."""
HANG: Final = "redis-hang"
"""Redis hangs so shortly that some processes may not notice."""
ALLOWING: Final = (CUT, HANG)
"""The faults in which processes differ about Redis, so that some may read what is old."""


class Write(NamedTuple):
    """A change of an object. ``end`` is when it was acknowledged; None: its outcome is open.

    ``by`` is the process that took it.
    """

    target: str
    rank: int
    start: float
    end: float | None
    by: str = ""


class Read(NamedTuple):
    """An answer about an object. ``shown`` is None for "there is no such thing".

    ``asked`` is the freshness that was asked for, empty for any; ``by`` the process that
    answered, ``code`` its status.
    """

    target: str
    shown: int | None
    start: float
    end: float
    source: str
    asked: str
    by: str
    code: str


class Fault(NamedTuple):
    """Something that was broken from ``start`` to ``end``.

    ``process`` is the service process that was killed or cut off; other faults meet all alike.
    """

    kind: str
    start: float
    end: float
    process: str = ""


@dataclass(slots=True)
class History:
    """Everything that the check needs."""

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    failed_writes: Counter[str] = field(default_factory=Counter)
    foreseen: int = 0
    """How many products were created under an id that had been asked for in vain just before."""

    def save(self, path: Path) -> None:
        """Write it to a file, without the faults."""
        content = {
            "writes": [tuple(write) for write in self.writes],
            "reads": [tuple(read) for read in self.reads],
            "failed_writes": dict(self.failed_writes),
            "foreseen": self.foreseen,
        }
        path.write_bytes(orjson.dumps(content))

    def add(self, path: Path) -> None:
        """Add what a file holds."""
        content: dict[str, Any] = orjson.loads(path.read_bytes())
        self.writes += _each(Write, content["writes"])
        self.reads += _each(Read, content["reads"])
        self.failed_writes.update(content["failed_writes"])
        self.foreseen += content["foreseen"]


def _each(kind: Any, rows: Iterable[list[Any]]) -> Iterable[Any]:
    return (kind(*row) for row in rows)
