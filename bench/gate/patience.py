"""Measuring once more what a machine that stood still has spoilt."""

import sys
from collections.abc import Callable
from typing import Final, TypeVar

from bench.arms import NotWhatItClaimsError
from bench.load import CallsFailedError

_TRIES: Final = 3

Found = TypeVar("Found")


def patiently(measure: Callable[[], Found]) -> Found:
    """Return what is measured, at the third try if need be.

    A process that gets no CPU for a second sheds calls, and doubts what it holds near. Raises
    ``NotWhatItClaimsError`` and ``CallsFailedError``.
    """
    for _ in range(_TRIES - 1):
        try:
            return measure()
        except (NotWhatItClaimsError, CallsFailedError) as error:
            sys.stderr.write(f"\nmeasured again: {error}\n")
    return measure()
