"""How much load there is at which moment, in parts of the load that was asked for."""

from dataclasses import dataclass
from typing import Final, Protocol

_BACKGROUND: Final = 0.25
_SPIKE: Final = (0.4, 0.6)
_WORTHWHILE_GROWTH: Final = 1.05


class Shape(Protocol):
    """The course of a load over time."""

    def level(self, elapsed_s: float) -> float:
        """Return the load at a moment: 1 is what ``--users`` or ``--rate`` says."""


@dataclass(frozen=True, slots=True)
class Constant:
    """All of the load from the beginning."""

    def level(self, elapsed_s: float) -> float:
        """Return 1."""
        return 1.0


@dataclass(frozen=True, slots=True)
class Ramp:
    """From nothing to all of the load, evenly over the whole duration."""

    duration_s: float

    def level(self, elapsed_s: float) -> float:
        """Return the part of the duration that is over."""
        return min(max(elapsed_s / self.duration_s, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Spike:
    """A quarter of the load, and all of it for the middle fifth of the duration."""

    duration_s: float

    def level(self, elapsed_s: float) -> float:
        """Return 1 in the middle fifth, else a quarter."""
        first, last = _SPIKE
        inside = first <= elapsed_s / self.duration_s < last
        return 1.0 if inside else _BACKGROUND


@dataclass(frozen=True, slots=True)
class Steps:
    """The load once, twice, three times..., one step after the other."""

    step_s: float

    def level(self, elapsed_s: float) -> float:
        """Return the number of the step, the first being 1."""
        return 1.0 + max(elapsed_s, 0.0) // self.step_s


def shape_of(name: str, duration_s: float, step_s: float) -> Shape:
    """Return the shape of a name that is in ``SHAPES``."""
    match name:
        case "ramp":
            return Ramp(duration_s)
        case "spike":
            return Spike(duration_s)
        case "step":
            return Steps(step_s)
        case _:
            return Constant()


SHAPES: Final = ("constant", "ramp", "step", "spike")


@dataclass(frozen=True, slots=True)
class Step:
    """What a step of the load has come to."""

    level: float
    rate_per_s: float
    p99_ms: float


def knee(before: Step | None, step: Step, bound_ms: float) -> str:
    """Say why a step lies beyond the knee, or nothing if it does not.

    It does when its p99 exceeds the bound, or when it serves hardly more than the step before it:
    less than 5 % more.
    """
    if step.p99_ms > bound_ms:
        return f"p99 {step.p99_ms:.1f} ms exceeds {bound_ms:g} ms"
    if before is not None and step.rate_per_s < before.rate_per_s * _WORTHWHILE_GROWTH:
        return f"{step.rate_per_s:.0f} calls/s are hardly more than {before.rate_per_s:.0f} before"
    return ""
