"""Plays something again and again, each time in another order, until every order was played.

What was played cannot be taken back, so that each further order is played from the beginning. An
order that leads to where another one led is not played on.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Run(Protocol):
    """Something that goes on only by choices."""

    def choices(self) -> Sequence[str]:
        """Return what may happen next."""
        ...

    def take(self, choice: str) -> str:
        """Let it happen and return the promise that it broke, if any."""
        ...

    def state(self) -> Hashable:
        """Return all that the future depends on."""
        ...

    def finished(self) -> bool:
        """Say whether everybody got what they asked for."""
        ...

    def close(self) -> None:
        """End what is under way."""
        ...


@dataclass(frozen=True)
class Played:
    """How many states and steps there were, and a schedule to each broken promise.

    ``stuck`` are the states from which nobody can finish.
    """

    states: int
    steps: int
    broken: Mapping[str, Sequence[str]]
    stuck: int

    def told(self) -> str:
        """Return it for people."""
        lines = [f"{self.states} states, {self.steps} steps, {self.stuck} stuck"]
        lines += [f"{promise}: {', '.join(names)}" for promise, names in self.broken.items()]
        return "\n".join(lines)


class _Map:
    """What was seen so far."""

    def __init__(self) -> None:
        self.before: dict[Hashable, list[Hashable]] = {}
        self.finished: list[Hashable] = []
        self.broken: dict[str, Sequence[str]] = {}
        self.steps = 0

    def take(self, run: Run, choice: str, taken: list[str]) -> None:
        taken.append(choice)
        self.steps += 1
        if promise := run.take(choice):
            self.broken.setdefault(promise, tuple(taken))

    def is_new(self, run: Run, state: Hashable, came_from: Hashable) -> bool:
        new = state not in self.before
        before = self.before.setdefault(state, [])
        if came_from is not None:
            before.append(came_from)
        if new and run.finished():
            self.finished.append(state)
        return new

    def stuck(self) -> int:
        reached: set[Hashable] = set()
        waiting = list(self.finished)
        while waiting:
            state = waiting.pop()
            if state not in reached:
                reached.add(state)
                waiting.extend(self.before[state])
        return len(self.before) - len(reached)


def play_all(begin: Callable[[], Run], sought: str = "") -> Played:
    """Play all orders, or as many as break the promise that is sought."""
    seen = _Map()
    ahead: list[tuple[str, ...]] = [()]
    while ahead and sought not in seen.broken:
        run = begin()
        try:
            ahead.extend(_play(run, ahead.pop(), seen))
        finally:
            run.close()
    return Played(len(seen.before), seen.steps, seen.broken, seen.stuck())


def _play(run: Run, schedule: Sequence[str], seen: _Map) -> list[tuple[str, ...]]:
    """Play one order to its end, and return the beginnings of others that were passed by."""
    others: list[tuple[str, ...]] = []
    taken: list[str] = []
    came_from: Hashable = None
    for choice in schedule:
        if len(taken) == len(schedule) - 1:
            came_from = run.state()
        seen.take(run, choice, taken)
    while seen.is_new(run, state := run.state(), came_from):
        choices = run.choices()
        if not choices:
            break
        others.extend((*taken, choice) for choice in choices[1:])
        seen.take(run, choices[0], taken)
        came_from = state
    return others
