"""The real cache on stores in memory, where every answer waits until it is let through.

Two or more processes share a store of record and a Redis, each an object here. What is asked of
them happens at once; the answer then waits at a gate. So do messages, and the end of a pause. To
open one of them, or to let an accident happen, is a choice; between choices everything runs until
it waits. This is the real ``ReadThroughCache`` with the real near cache, link, invalidations and
batching; only ``SharedValues`` and the store are made up.

Two runs are in one state if all that waits, and all that is stored, is the same. How long somebody
has waited does not count.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, Final, NamedTuple, cast
from unittest.mock import patch

from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from services.common import batching
from services.common.cache import lookup, near, read_through
from services.common.cache.breaker import Breaker
from services.common.cache.figures import CacheFigures
from services.common.cache.invalidation import Invalidations
from services.common.cache.link import InvalidationLink
from services.common.cache.near import Near, NearOptions
from services.common.cache.read_through import ReadThroughCache
from services.common.cache.shared import LEASE_S, Fill, Lease
from services.common.call import Call, enter_call
from services.common.freshness import Freshness, Source
from services.common.redis.servers import RedisServers
from services.common.snapshot import Snapshot
from tests.slow.proof.loop import StillLoop
from tests.slow.proof.memory import ALL_GUARDS, ID, VERSIONS, Guards, MemoryRedis, version_in
from tests.slow.proof.protocol import (
    NONE,
    OLD_IN_REDIS,
    OLD_NEAR,
    STALE,
    STALE_TO_ITSELF,
    UNLEASED,
    Accidents,
)
from tests.slow.proof.runs import Played, play_all

NEVER_S: Final = 1e9
PAUSE_S: Final = 0.03  # longer than any pause before a reader asks again


class Actor(NamedTuple):
    """Somebody in a process who reads or writes, once."""

    process: int
    freshness: Freshness | None

    @classmethod
    def reader(cls, process: int, freshness: Freshness = Freshness.NEAR) -> "Actor":
        return cls(process, freshness)

    @classmethod
    def writer(cls, process: int) -> "Actor":
        return cls(process, None)


@dataclass(frozen=True)
class Scene:
    """Who acts, what may go wrong, and what is in place."""

    actors: Sequence[Actor]
    accidents: Accidents = NONE
    guards: Guards = ALL_GUARDS
    backstop: bool = True
    near: bool = True


Choice = Callable[[], object]


@dataclass(eq=False)
class Gate:
    """Where an answer waits."""

    process: "Process"
    name: str
    about: tuple[object, ...]
    opened: asyncio.Future[None]


class Process:
    """One process: its cache, and what is under way to it."""

    def __init__(self, number: int, stage: "Rehearsal") -> None:
        self.name = "ABCD"[number]
        self._stage = stage
        figures = CacheFigures()
        self.near: Near[int] = Near(NearOptions(entries=8, bytes=100_000, lease_s=1.0))
        self.breaker = Breaker(clock=stage.loop.time, on_open=self.near.drop)
        self.invalidations = Invalidations(self, self.breaker, figures, NEVER_S)
        self.cache = ReadThroughCache(
            VERSIONS,
            self._load,
            self,
            self.near,
            self.breaker,
            self.invalidations,
            figures,
            NEVER_S,
        )
        no_redis = cast("RedisServers", None)  # the rehearsal hears in its place
        self.link = InvalidationLink(
            no_redis, self.near, self.breaker, VERSIONS.prefix, NEVER_S, figures
        )
        self.alive = True
        self.hears = False
        self.inbox: list[str] = []
        self.grants: list[str] = []
        self.untold = False
        self.told = 0
        self.wrote = 0
        self.owed: set[int] = set()
        if stage.scene.near:
            self.listen()

    def listen(self) -> None:
        """Hear every invalidation from now on."""
        self.hears = True
        self.link._open()
        self.near.valid_until = inf

    def become_deaf(self) -> None:
        self.hears = False
        self.inbox.clear()

    def notice(self) -> None:
        """Find out that something may have been missed."""
        self.link._close()

    async def look(self, value_ids: Collection[str], token: str) -> Mapping[str, bytes | Lease]:
        answer = self._stage.redis.look(token)
        shown = version_in(answer) if isinstance(answer, bytes) else answer.value
        await self._stage.gate(self, "look", isinstance(answer, bytes), shown, token)
        if answer is Lease.GRANTED:
            self.grants.append(token)
        return {ID: answer}

    async def fill(self, fills: Sequence[Fill]) -> Sequence[bool]:
        accepted = [self._stage.fill(fill) for fill in fills]
        versions = [version_in(fill.raw) for fill in fills]
        await self._stage.gate(self, "fill", *accepted, *versions)
        return accepted

    async def forget(self, value_ids: Collection[str]) -> None:
        if self._stage.loses_deletions:
            self.breaker.succeeded()  # others are answered meanwhile, so that it stays closed
            raise RedisConnectionError
        self._stage.forget(self)
        await self._stage.gate(self, "delete")

    async def forget_all(self) -> None:
        raise NotImplementedError

    async def _load(self, value_ids: Collection[str]) -> Mapping[str, Snapshot[int]]:
        version = self._stage.version
        token = self.grants[-1] if self.grants else ""
        await self._stage.gate(self, "load", version, token)
        return {ID: Snapshot(version)} if version else {}

    async def write(self) -> int:
        async with self.cache.forgetting([ID]):
            self._stage.version += 1
            version = self._stage.version
            self.untold = True
            await self._stage.gate(self, "write", version)
        return version

    def hear(self) -> None:
        """Hear of all that was sent: they all say the same."""
        while self.inbox:
            self.link._invalidated(self.inbox.pop(0))

    def owes(self) -> bool:
        return self.invalidations.owes([ID])

    def pays(self) -> bool:
        return bool(self.invalidations._paying)

    def waits(self) -> bool:
        return bool(self.cache._turns._waiting)

    def near_version(self) -> int:
        place = self.near._places.get(ID)
        return -1 if place is None else version_in(place.entry.raw)

    def at_rest(self) -> bool:
        listens = self.hears or not self._stage.scene.near
        return listens and not self.inbox and not self.owes()

    def state(self) -> Hashable:
        """Return all that its future depends on, but for what waits at gates."""
        if not self.alive:
            return "gone"
        return (
            (self.hears, self.near.closed, self.near_version(), bool(self.inbox)),
            tuple((bool(flight.forgotten), flight.doubtful) for flight in self.near._flights),
            (self.owes(), self.pays(), self.waits(), self.breaker.state),
            (self.untold, self.told, self.wrote, tuple(sorted(self.owed))),
        )


@dataclass
class Part:
    """What an actor has to do, and how far it is."""

    actor: Actor
    process: Process
    name: str
    begun: bool = False
    done: bool = False
    floor: int = 0


class Rehearsal:
    """One run of a scene."""

    def __init__(self, scene: Scene, loop: StillLoop) -> None:
        self.loop = loop
        self.scene = scene
        self._left = scene.accidents
        self.loses_deletions = False
        self._gates: list[Gate] = []
        self._broken = ""
        self._acknowledged = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._untold = False
        self.version = 0
        self.redis = MemoryRedis(scene.guards, self.loop.time)
        count = 1 + max(actor.process for actor in scene.actors)
        self.processes = [Process(number, self) for number in range(count)]
        self._parts = [self._cast(number, actor) for number, actor in enumerate(scene.actors)]

    def _cast(self, number: int, actor: Actor) -> Part:
        process = self.processes[actor.process]
        kind = "read" if actor.freshness else "write"
        return Part(actor, process, f"{process.name}'s {kind} {number}")

    def choices(self) -> Sequence[str]:
        """Return what may happen next."""
        return list(self._possible())

    def take(self, choice: str) -> str:
        """Let it happen and return the promise that it broke, if any."""
        self._broken = ""
        self._possible()[choice]()
        self.loop.settle()
        for task in [task for task in self._tasks if task.done()]:
            task.result()
            self._tasks.remove(task)
        return self._broken or self._broken_at_rest()

    def finished(self) -> bool:
        return all(part.done or not part.process.alive for part in self._parts)

    def close(self) -> None:
        assert not self.loop.faults, self.loop.faults
        for task in self._tasks:
            task.cancel()
        while self._gates:
            self._gates.pop().opened.cancel()
            self.loop.settle()
        self.loop.begin_anew()
        for task in self._tasks:
            task.cancelled() or task.exception()

    async def gate(self, process: Process, name: str, *about: object) -> None:
        """Wait until the answer is let through."""
        gate = Gate(process, name, about, self.loop.create_future())
        self._gates.append(gate)
        await gate.opened

    def fill(self, fill: Fill) -> bool:
        leased = self.redis.held() == fill.token
        accepted = self.redis.fill(fill)
        if accepted and not leased:
            self._broken = UNLEASED
        return accepted

    def forget(self, by: Process) -> None:
        """Do what the script does, and note that what was owed is delivered."""
        self.redis.forget()
        by.untold = False
        self._acknowledged = max(self._acknowledged, *by.owed, 0)
        by.owed.clear()
        for process in self.processes:
            if process.hears:
                process.inbox.append(f"0\n{VERSIONS.key(ID)}")

    def state(self) -> Hashable:
        lease = self.redis.held()
        states = Counter(self._state_of(process, lease) for process in self.processes)
        return (
            self.version,
            version_in(self.redis.value),
            lease != "",
            frozenset(states.items()),
            self._left,
            self._acknowledged,
            self._untold,
        )

    def _state_of(self, process: Process, lease: str) -> Hashable:
        """Return everything about a process but its name."""
        gates = sorted(
            (gate.name, *(_token_aside(part, lease) for part in gate.about))
            for gate in self._gates
            if gate.process is process
        )
        parts = [
            (part.actor.freshness, part.begun, part.done, 0 if part.done else part.floor)
            for part in self._parts
            if part.process is process
        ]
        return process.state(), *(() if process.state() == "gone" else (*gates, *parts))

    def _possible(self) -> dict[str, Choice]:
        possible: dict[str, Choice] = {}
        for part in self._parts:
            if part.process.alive and not part.begun:
                possible[f"{part.name} begins"] = partial(self._begin, part)
        for number, gate in enumerate(self._gates):
            if gate.process.alive:
                name = f"{gate.process.name}'s {gate.name} is answered ({number})"
                possible[name] = partial(self._open, gate)
                if self._left.losses:
                    possible.update(self._losses(gate, name))
        for process in self.processes:
            if process.alive:
                possible.update(self._around(process))
        possible.update(self._passing_time(idle=not possible))
        return possible

    def _losses(self, gate: Gate, name: str) -> Iterator[tuple[str, Choice]]:
        if gate.name == "write":
            yield f"{name}, the deletion fails", partial(self._open_and_lose, gate)
        elif gate.name in {"look", "fill"}:
            yield f"{name} with an error", partial(self._lose, gate)

    def _around(self, process: Process) -> Iterator[tuple[str, Choice]]:
        """What happens to a process beside its calls."""
        name = process.name
        if process.inbox:
            yield f"{name} hears of a write", process.hear
        if process.owes() and not process.pays():
            yield f"{name} pays", partial(self._pay, process)
        if not process.hears and not process.near.closed:
            yield f"{name} notices that it is deaf", process.notice
        if self.scene.near and not process.hears and process.near.closed:
            yield f"{name} listens again", process.listen
        if process.hears and self._left.breaks:
            yield f"{name} becomes deaf", partial(self._deafen, process)
        if self._untold and self.scene.backstop:
            yield f"{name} is the backstop", partial(self._repeat, process)
        if self._left.crashes:
            yield f"{name} crashes", partial(self._crash, process)

    def _passing_time(self, *, idle: bool) -> Iterator[tuple[str, Choice]]:
        waiting = any(process.alive and process.waits() for process in self.processes)
        if waiting:
            yield "a pause is over", partial(self.loop.move_on, PAUSE_S)
        if self._left.expiries and self.redis.value is not None:
            yield "the value expires", self._expire_value
        if self._left.expiries and self.redis.held():
            yield "a lease's time passes", self._expire_lease
        elif idle and waiting:
            yield "a lease's time passes", partial(self.loop.move_on, LEASE_S)

    def _begin(self, part: Part) -> None:
        part.begun = True
        self._start(self._read(part) if part.actor.freshness else self._write(part))

    async def _read(self, part: Part) -> None:
        process = part.process
        call = Call()
        call.freshness = part.actor.freshness or call.freshness
        enter_call(call)
        part.floor = max(self._acknowledged, process.wrote)
        near_floor = process.told
        snapshot = await process.cache.get(ID)
        version = 0 if snapshot is None else snapshot.value
        part.done = True
        if call.source is Source.NEAR and version < near_floor:
            self._broken = STALE_TO_ITSELF
        elif call.source is not Source.NEAR and version < part.floor:
            self._broken = STALE

    async def _write(self, part: Part) -> None:
        process = part.process
        version = await process.write()
        part.done = True
        process.wrote = max(process.wrote, version)
        if process.untold:
            process.owed.add(version)
        else:
            process.told = max(process.told, version)
            self._acknowledged = max(self._acknowledged, version)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(self.loop.create_task(work))

    def _open(self, gate: Gate) -> None:
        self._gates.remove(gate)
        gate.opened.set_result(None)

    def _open_and_lose(self, gate: Gate) -> None:
        self._spend("losses")
        self.loses_deletions = True
        self._open(gate)
        self.loop.settle()
        self.loses_deletions = False

    def _lose(self, gate: Gate) -> None:
        self._spend("losses")
        self._gates.remove(gate)
        gate.opened.set_exception(RedisConnectionError())

    def _deafen(self, process: Process) -> None:
        self._spend("breaks")
        process.become_deaf()

    def _pay(self, process: Process) -> None:
        self._start(process.invalidations.pay())

    def _repeat(self, process: Process) -> None:
        self._untold = False
        self._start(process.invalidations.deliver([ID]))

    def _crash(self, process: Process) -> None:
        self._spend("crashes")
        process.alive = process.hears = False
        process.inbox.clear()
        self._untold |= process.untold

    def _expire_value(self) -> None:
        self._spend("expiries")
        self.redis.value = None

    def _expire_lease(self) -> None:
        self._spend("expiries")
        self.loop.move_on(LEASE_S)

    def _spend(self, accident: str) -> None:
        self._left = self._left._replace(**{accident: getattr(self._left, accident) - 1})

    def _broken_at_rest(self) -> str:
        if not self._at_rest():
            return ""
        newest = {-1, self.version}
        if version_in(self.redis.value) not in newest:
            return OLD_IN_REDIS
        if any(
            process.alive and process.near_version() not in newest for process in self.processes
        ):
            return OLD_NEAR
        return ""

    def _at_rest(self) -> bool:
        """Say whether nothing is under way and all that can be delivered was."""
        living = [process for process in self.processes if process.alive]
        return (
            not (self._untold and self.scene.backstop)
            and not any(gate.process.alive for gate in self._gates)
            and all(process.at_rest() for process in living)
            and all(part.done == part.begun for part in self._parts if part.process.alive)
        )


def _token_aside(part: object, lease: str) -> object:
    """Of a token only this matters: whether it is that of the lease."""
    return part == lease if isinstance(part, str) else part


@contextmanager
def clock_of(loop: StillLoop) -> Iterator[None]:
    """Make the modules of the cache read the clock of this loop."""
    with (
        patch.object(batching, "monotonic", loop.time),
        patch.object(near, "monotonic", loop.time),
        patch.object(read_through, "monotonic", loop.time),
        patch.object(lookup, "time", loop.time),
    ):
        yield


def rehearse(scene: Scene, sought: str = "") -> Played:
    """Play a scene in all orders, or until the promise that is sought is broken."""
    loop = StillLoop()
    with capture_logs(), clock_of(loop), loop.running():
        return play_all(lambda: Rehearsal(scene, loop), sought)
