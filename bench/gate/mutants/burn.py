"""CPU time spent for nothing."""

from time import thread_time_ns
from typing import Final

_TRIES: Final = 20
_TURNS: Final = 100_000


def burn(turns: int) -> None:
    """Be busy. By turns, not by the clock: asking for CPU time is a system call."""
    for _ in range(turns):
        pass


def turns_in(us: float) -> int:
    """Return how many turns take so many microseconds, by the fastest of several tries."""
    tries = []
    for _ in range(_TRIES):
        begun = thread_time_ns()
        burn(_TURNS)
        tries.append((thread_time_ns() - begun) / _TURNS / 1_000)
    return round(us / min(tries))
