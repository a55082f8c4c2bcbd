"""A value as a store gave it, which remembers how it was last shown."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

Value = TypeVar("Value")
Shown = TypeVar("Shown")


class Snapshot(Generic[Value]):
    """A value of one moment.

    It may stay for long and be asked for often, so that what was made of it is worth keeping:
    ``shown(make)`` makes it once.
    """

    __slots__ = ("_make", "_shown", "_value")

    def __init__(self, value: Value) -> None:
        self._value: Value | None = value
        self._make: Callable[[Value], object] | None = None
        self._shown: Any = None

    @property
    def value(self) -> Value:
        """The value."""
        return cast("Value", self._value)

    def shown(self, make: Callable[[Value], Shown]) -> Shown:
        """Return what ``make`` makes of the value, from the last time if it was the same one."""
        if self._make is not make:
            self._shown = make(self.value)
            self._make = make
        shown: Shown = self._shown
        return shown
