"""The CPU time that another process has used (Linux)."""

import time
from typing import Final

_SCHEDULED: Final = 2  # CPUCLOCK_SCHED: user and system time, in nanoseconds


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process until now, threads that have ended included, in seconds.

    It is read from the process's CPU clock, whose number clock_getcpuclockid(3) makes from the
    process id in this way.
    """
    return time.clock_gettime((~pid << 3) | _SCHEDULED)
