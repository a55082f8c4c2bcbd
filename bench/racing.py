"""Measuring arms side by side, in interleaved rounds."""

import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from bench import progress
from bench.arms import Arm
from bench.cpu import cpu_seconds
from bench.load import Driver, Target, driving
from bench.stores import StoreCounts

GENTLE: Final = 16  # at a time, while everything still has to be loaded


@dataclass(frozen=True, slots=True)
class Entry:
    """An arm, the process that answers and the one that asks."""

    arm: Arm
    pid: int
    driver: Driver


def entered(stack: ExitStack, arm: Arm, pid: int, target: Target) -> Entry:
    """Return an entry whose client runs until the stack is closed."""
    return Entry(arm, pid, stack.enter_context(driving(target)))


def warm(entries: Sequence[Entry], counts: StoreCounts, calls: int) -> None:
    """Make so many calls in each arm, and as many again to see that it is what it claims.

    Raises ``NotWhatItClaimsError`` and ``CallsFailedError``.
    """
    for number, entry in enumerate(entries, start=1):
        progress.show(f"warming {number} of {len(entries)}")
        entry.driver.make(calls, min(GENTLE, entry.arm.at_once))
        trial = Arm(entry.arm.name, entry.arm.claim, at_once=entry.arm.at_once)
        measure(trial, entry, counts, calls)
        trial.check()
    progress.end()


def race(
    entries: Sequence[Entry], counts: StoreCounts, rounds: int, calls: int, *, visiting: bool
) -> None:
    """Measure all arms so many times; ``visiting``, make each round's calls once before.

    Raises ``NotWhatItClaimsError`` and ``CallsFailedError``.
    """
    for number in range(rounds):
        progress.show(f"round {number + 1} of {rounds}")
        for entry in random.Random(number).sample(entries, len(entries)):  # noqa: S311
            share = max(1, round(calls * entry.arm.share))
            if visiting:
                entry.driver.make(share, min(GENTLE, entry.arm.at_once))
            measure(entry.arm, entry, counts, share)
    progress.end()
    for entry in entries:
        entry.arm.check()


def measure(arm: Arm, entry: Entry, counts: StoreCounts, calls: int) -> None:
    """Make so many calls and let the arm take in what they show."""
    asked = counts.read()
    before = cpu_seconds(entry.pid)
    outcome = entry.driver.make(calls, arm.at_once)
    cpu_s = cpu_seconds(entry.pid) - before
    arm.note(outcome, cpu_s, asked, counts.read())
