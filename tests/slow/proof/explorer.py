"""Visits every state that a system can come to, and finds the shortest way to a broken promise."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

State = TypeVar("State")


class Step(NamedTuple, Generic[State]):
    """What may happen next, the state after it, and the promise that it breaks, if any."""

    name: str
    state: State
    broken: str = ""


@dataclass(frozen=True)
class System(Generic[State]):
    """What is explored.

    States with one ``key`` are one. ``broken`` names the promise that a state itself breaks, and
    ``finished`` says whether everybody got what they asked for.
    """

    start: State
    steps: Callable[[State], Iterable[Step[State]]]
    key: Callable[[State], Hashable]
    broken: Callable[[State], str]
    finished: Callable[[State], bool]


@dataclass(frozen=True)
class Exploration:
    """How much there was to see, and the shortest schedule to each broken promise.

    ``stuck`` is the shortest schedule to a state from which no finished one can be reached.
    """

    states: int
    steps: int
    broken: Mapping[str, Sequence[str]]
    stuck: Sequence[str] | None

    def told(self) -> str:
        """Return it for people."""
        lines = [f"{self.states} states, {self.steps} steps"]
        lines += [f"{promise}: {', '.join(names)}" for promise, names in self.broken.items()]
        if self.stuck is not None:
            lines.append(f"stuck: {', '.join(self.stuck)}")
        return "\n".join(lines)


class _Trail:
    """Which step led to each state first, by number, and which states lead to each."""

    def __init__(self) -> None:
        self.came: list[tuple[int, str]] = [(0, "")]
        self.before: list[list[int]] = [[]]

    def add(self, origin: int, name: str) -> int:
        self.came.append((origin, name))
        self.before.append([])
        return len(self.came) - 1

    def to(self, number: int) -> list[str]:
        names: list[str] = []
        while number:
            number, name = self.came[number]
            names.append(name)
        return names[::-1]

    def first_without(self, goals: Iterable[int]) -> int | None:
        """Return the first state from which no goal can be reached."""
        reached = [False] * len(self.before)
        waiting = list(goals)
        while waiting:
            number = waiting.pop()
            if not reached[number]:
                reached[number] = True
                waiting.extend(self.before[number])
        return reached.index(False) if False in reached else None


def explore(system: System[State], sought: str = "") -> Exploration:
    """Visit all states, the nearest first, or as many as break the promise that is sought."""
    trail = _Trail()
    numbers = {system.key(system.start): 0}
    waiting = deque([system.start])
    broken: dict[str, list[str]] = {}
    finished: list[int] = []
    steps = visited = 0
    while waiting and sought not in broken:
        state = waiting.popleft()
        number = visited
        visited += 1
        if system.finished(state):
            finished.append(number)
        if promise := system.broken(state):
            broken.setdefault(promise, trail.to(number))
        for step in system.steps(state):
            steps += 1
            if step.broken and step.broken not in broken:
                broken[step.broken] = [*trail.to(number), step.name]
            key = system.key(step.state)
            after = numbers.get(key)
            if after is None:
                after = numbers[key] = trail.add(number, step.name)
                waiting.append(step.state)
            trail.before[after].append(number)
    stuck = trail.first_without(finished)
    return Exploration(visited, steps, broken, None if stuck is None else trail.to(stuck))
