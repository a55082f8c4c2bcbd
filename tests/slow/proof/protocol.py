"""The protocol of the cache, told as atomic steps on one key: what is proven, before any code.

MongoDB is a register whose versions count up. Redis holds a value or a lease or neither. Each of
two processes has a near cache, a link on which invalidations arrive later and in order, a reader
and a writer. A step is one round trip's effect, or the arrival of its answer.

Every protection is a switch, so that a test can show what it is for.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from tests.slow.proof.explorer import Step, System

NOTHING: Final = -1

STALE: Final = "a read shows less than was acknowledged"
STALE_TO_ITSELF: Final = "a process does not see what it wrote"
UNLEASED: Final = "a fill was accepted without its lease"
OLD_IN_REDIS: Final = "at rest Redis is older than MongoDB"
OLD_NEAR: Final = "at rest a near cache is older than MongoDB"


@dataclass(frozen=True)
class Protections:
    """What the protocol does so that nothing old is shown."""

    fill_needs_lease: bool = True
    value_deleted: bool = True
    lease_deleted: bool = True
    flights_watched: bool = True
    near_dropped_in_doubt: bool = True
    flights_doubted_at_opening: bool = True
    own_near_forgotten: bool = True
    owed_read_past_redis: bool = True
    owed_is_paid: bool = True
    backstop: bool = True
    waiting_ends: bool = True
    leases_expire: bool = True


class Accidents(NamedTuple):
    """How many of each may still happen.

    Values or leases expire, processes crash, deletions are lost, links break, and writes are late:
    they reach MongoDB after their caller has given up, and told of them.
    """

    expiries: int = 1
    crashes: int = 1
    losses: int = 1
    breaks: int = 1
    late: int = 0


NONE: Final = Accidents(expiries=0, crashes=0, losses=0, breaks=0)


class Process(NamedTuple):
    """One process.

    ``version`` is what its read under way has seen, and ``tainted`` says that this must not come
    near. ``holds`` says that Redis has this reader's lease, ``seen_near`` and ``seen_far`` what its
    own reads must show at least, from its near cache and from Redis.
    """

    name: str
    reads: int
    writes: int
    near: int = NOTHING
    link: str = "hears"
    inbox: bool = False
    reader: str = "idle"
    version: int = NOTHING
    holds: bool = False
    tainted: bool = False
    writer: str = "idle"
    wrote: int = 0
    seen_near: int = 0
    seen_far: int = 0


class World(NamedTuple):
    """All there is.

    ``orphan`` is a lease whose holder is gone, ``acknowledged`` the newest version that everybody
    must see, and ``untold`` says that a writer was gone before it told of its write.
    """

    processes: tuple[Process, ...]
    accidents: Accidents
    mongo: int = 0
    value: int = NOTHING
    orphan: bool = False
    acknowledged: int = 0
    untold: bool = False


Happening = Iterator[Step[World]]


def protocol(
    protections: Protections, accidents: Accidents, reads: int = 1, writes: int = 1
) -> System[World]:
    """Return two processes, each of which reads and writes so often."""
    model = _Model(protections)
    processes = tuple(Process(name, reads, writes) for name in "AB")
    return System(
        World(processes, accidents), model.steps, _key, model.broken_at_rest, _all_answered
    )


class _Model:
    def __init__(self, protections: Protections) -> None:
        self._on = protections

    def steps(self, world: World) -> Happening:
        for at, process in enumerate(world.processes):
            if process.writer != "gone":
                yield from self._reader(world, at, process)
                yield from self._writer(world, at, process)
                yield from self._link(world, at, process)
                if world.accidents.crashes:
                    yield self._crash(world, at, process)
        if world.untold and self._on.backstop:
            yield Step("the backstop deletes", self._forgotten(world)._replace(untold=False))
        yield from self._expiry(world)

    def broken_at_rest(self, world: World) -> str:
        if not self._at_rest(world):
            return ""
        if world.value not in {NOTHING, world.mongo}:
            return OLD_IN_REDIS
        if any(process.near not in {NOTHING, world.mongo} for process in world.processes):
            return OLD_NEAR
        return ""

    def _at_rest(self, world: World) -> bool:
        """Say whether nothing is under way and all that can be delivered was."""
        if world.untold and self._on.backstop:
            return False
        resting = {"idle", "gone"} if self._on.owed_is_paid else {"idle", "gone", "owed"}
        return all(
            process.reader == "idle"
            and process.writer in resting
            and not process.inbox
            and process.link in {"hears", "gone"}
            for process in world.processes
        )

    def _reader(self, world: World, at: int, process: Process) -> Happening:
        match process.reader:
            case "idle" if process.reads:
                yield from self._begin(world, at, process._replace(reads=process.reads - 1))
            case "hit" | "filled":
                yield self._answer(world, at, process)
            case "leased":
                loaded = process._replace(reader="loaded", version=world.mongo)
                yield Step(f"{process.name} loads {world.mongo}", _with(world, at, loaded))
            case "loaded":
                yield self._fill(world, at, process)

    def _begin(self, world: World, at: int, process: Process) -> Happening:
        """Begin at the last moment, when most is promised: it asks Redis at once."""
        name = process.name
        if process.near != NOTHING:
            broken = STALE_TO_ITSELF if process.near < process.seen_near else ""
            yield Step(f"{name} reads near", _with(world, at, process), broken)
        owes = process.writer in {"owing", "owed"}
        if owes and self._on.owed_read_past_redis:
            yield Step(f"{name} reads past Redis", _with(world, at, process))
        elif world.value != NOTHING:
            found = process._replace(reader="hit", version=world.value)
            yield Step(
                f"{name} finds {world.value}", _with(world, at, found), _stale(world, process)
            )
        elif not world.orphan and not any(other.holds for other in world.processes):
            leased = process._replace(reader="leased", holds=True)
            yield Step(f"{name} gets the lease", _with(world, at, leased))
        elif self._on.waiting_ends:
            yield Step(f"{name} waits in vain", _with(world, at, process))

    def _answer(self, world: World, at: int, process: Process) -> Step[World]:
        """An answer of Redis arrives: to a look, or to a fill that was accepted."""
        trusted = not process.tainted or not self._on.flights_watched
        near = process.version if trusted and process.link != "closed" else process.near
        idle = _idle(process._replace(near=near))
        return Step(f"{process.name} hears from Redis", _with(world, at, idle))

    def _fill(self, world: World, at: int, process: Process) -> Step[World]:
        if self._on.fill_needs_lease and not process.holds:
            return Step(f"{process.name} may not fill", _with(world, at, _idle(process)))
        filled = process._replace(reader="filled", holds=False)
        after = _with(world, at, filled)._replace(value=process.version)
        broken = "" if process.holds else UNLEASED
        return Step(f"{process.name} fills {process.version}", after, broken)

    def _writer(self, world: World, at: int, process: Process) -> Happening:
        name = process.name
        match process.writer:
            case "late":
                idle = _with(world, at, process._replace(writer="idle"))
                yield Step(
                    f"{name}'s write is done", idle._replace(mongo=world.mongo + 1, untold=True)
                )
            case "idle" if process.writes:
                yield from self._give_up(world, at, process)
                mongo = world.mongo + 1
                written = process._replace(writer="written", wrote=mongo, writes=process.writes - 1)
                after = _with(world, at, written)._replace(mongo=mongo)
                yield Step(f"{name} writes {mongo}", after)
            case "written":
                told = _with(world, at, process._replace(writer="told"))
                yield Step(f"{name} deletes", self._forgotten(told))
                if world.accidents.losses:
                    owing = _with(world, at, process._replace(writer="owing"))
                    yield Step(f"{name} cannot delete", _less(owing, "losses"))
            case "told" | "owing":
                yield self._acknowledge(world, at, process)
            case "owed" if self._on.owed_is_paid:
                paid = self._forgotten(_with(world, at, process._replace(writer="idle")))
                yield Step(f"{name} pays", _acknowledged(paid, process.wrote))

    def _give_up(self, world: World, at: int, process: Process) -> Happening:
        if world.accidents.late:
            late = process._replace(writer="late", writes=process.writes - 1)
            told = self._forgotten(_less(_with(world, at, late), "late"))
            yield Step(f"{process.name} gives up a write, and deletes", told)

    def _acknowledge(self, world: World, at: int, process: Process) -> Step[World]:
        told = process.writer == "told"
        after = process._replace(writer="idle" if told else "owed", seen_far=process.wrote)
        if told:
            after = after._replace(seen_near=process.wrote)
        if self._on.own_near_forgotten:
            after = _near_forgotten(after)
        world = _with(world, at, after)
        if told:
            world = _acknowledged(world, process.wrote)
        return Step(f"{process.name} acknowledges {process.wrote}", world)

    def _link(self, world: World, at: int, process: Process) -> Happening:
        name = process.name
        if process.inbox:
            heard = _near_forgotten(process._replace(inbox=False))
            yield Step(f"{name} hears of a write", _with(world, at, heard))
        if process.link == "hears" and world.accidents.breaks:
            deaf = _with(world, at, process._replace(link="deaf", inbox=False))
            yield Step(f"{name} becomes deaf", _less(deaf, "breaks"))
        elif process.link == "deaf":
            closed = process._replace(link="closed")
            if self._on.near_dropped_in_doubt:
                closed = _near_forgotten(closed)
            yield Step(f"{name} notices that it is deaf", _with(world, at, closed))
        elif process.link == "closed":
            opened = process._replace(link="hears")
            if self._on.flights_doubted_at_opening:
                opened = opened._replace(tainted=_in_flight(process))
            yield Step(f"{name} listens again", _with(world, at, opened))

    def _crash(self, world: World, at: int, process: Process) -> Step[World]:
        gone = Process(process.name, 0, 0, link="gone", writer="gone")
        after = _with(world, at, gone)._replace(
            orphan=world.orphan or process.holds,
            untold=world.untold or process.writer in {"written", "owing", "owed"},
        )
        return Step(f"{process.name} crashes", _less(after, "crashes"))

    def _expiry(self, world: World) -> Happening:
        if world.orphan and self._on.leases_expire:
            yield Step("the lease expires", world._replace(orphan=False))
        if world.accidents.expiries:
            if world.value != NOTHING:
                yield Step("the value expires", _less(world._replace(value=NOTHING), "expiries"))
            elif any(process.holds for process in world.processes):
                yield Step("the lease expires", _less(_no_lease(world), "expiries"))

    def _forgotten(self, world: World) -> World:
        """Return the world after value and lease were deleted, and everybody is being told."""
        if self._on.lease_deleted:
            world = _no_lease(world)
        return world._replace(
            value=NOTHING if self._on.value_deleted else world.value,
            processes=tuple(
                process._replace(inbox=True) if process.link == "hears" else process
                for process in world.processes
            ),
        )


def _with(world: World, at: int, process: Process) -> World:
    processes = list(world.processes)
    processes[at] = process
    return world._replace(processes=tuple(processes))


def _less(world: World, accident: str) -> World:
    left = getattr(world.accidents, accident) - 1
    return world._replace(accidents=world.accidents._replace(**{accident: left}))


def _acknowledged(world: World, version: int) -> World:
    return world._replace(acknowledged=max(world.acknowledged, version))


def _no_lease(world: World) -> World:
    processes = tuple(process._replace(holds=False) for process in world.processes)
    return world._replace(orphan=False, processes=processes)


def _idle(process: Process) -> Process:
    return process._replace(reader="idle", version=NOTHING, tainted=False)


def _near_forgotten(process: Process) -> Process:
    return process._replace(near=NOTHING, tainted=_in_flight(process))


def _in_flight(process: Process) -> bool:
    return process.reader in {"hit", "filled"}


def _stale(world: World, process: Process) -> str:
    return STALE if world.value < max(world.acknowledged, process.seen_far) else ""


def _key(world: World) -> Hashable:
    """Two worlds are one if only names differ, or what nobody will look at again."""
    first, second = (_what_matters(process) for process in world.processes)
    reads = any(process.reads for process in world.processes)
    acknowledged = world.acknowledged if reads else 0
    rest = (*world[1:5], acknowledged, world.untold)
    return (first, second, rest) if first < second else (second, first, rest)


def _what_matters(process: Process) -> tuple[object, ...]:
    seen = (process.seen_near, process.seen_far) if process.reads else ()
    return (*process[1:11], process.wrote if process.writer != "idle" else 0, *seen)


def _all_answered(world: World) -> bool:
    return all(not process.reads and process.reader == "idle" for process in world.processes)
