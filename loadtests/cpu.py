"""CPU time of processes and of all that they have started, from Linux's /proc."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
# Of /proc/PID/stat, counted from the state that follows the name in parentheses (proc(5)).
_PARENT: Final = 1
_TIMES: Final = slice(11, 15)

_NAMES: Final = {
    "services.user": "user",
    "services.inventory": "inventory",
    "services.order": "order",
    "mongod": "mongodb",
    "redis-server": "redis",
    "valkey-server": "redis",
}


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    cpu_s: float


def cpu_by_name(root: int) -> Mapping[str, float]:
    """Return the CPU seconds of each service and store among the descendants of a process.

    Those of their own children count, also of children that have ended. Empty without a /proc.
    """
    found: dict[str, float] = {}
    processes = list(_processes())
    for process in _descendants(processes, root):
        name = _name(process.pid)
        if name is not None:
            family = [process, *_descendants(processes, process.pid)]
            # A worker of a service bears the name of its supervisor, and is counted with it.
            if not any(_name(other.pid) == name for other in _ancestors(processes, process)):
                found[name] = found.get(name, 0.0) + sum(member.cpu_s for member in family)
    return found


def executable_of(root: int, name: str) -> str | None:
    """Return the program that the named store among the descendants of a process runs."""
    for process in _descendants(list(_processes()), root):
        if _name(process.pid) == name:
            try:
                return str((_PROC / str(process.pid) / "exe").readlink())
            except OSError:
                return None
    return None


def _processes() -> Iterator[_Process]:
    for folder in _PROC.glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except OSError:
            continue  # it has just ended
        fields = stat.rpartition(")")[2].split()
        ticks = sum(map(int, fields[_TIMES]))
        yield _Process(int(folder.name), int(fields[_PARENT]), ticks / _TICKS_PER_S)


def _descendants(processes: Iterable[_Process], root: int) -> Iterator[_Process]:
    children = [process for process in processes if process.parent == root]
    for child in children:
        yield child
        yield from _descendants(processes, child.pid)


def _ancestors(processes: Iterable[_Process], of: _Process) -> Iterator[_Process]:
    for process in processes:
        if process.pid == of.parent:
            yield process
            yield from _ancestors(processes, process)


def _name(pid: int) -> str | None:
    try:
        command = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    # Redis writes its address behind its name, as one word.
    words = [word.partition(" ")[0].rpartition("/")[2] for word in command]
    return next((_NAMES[word] for word in words[:3] if word in _NAMES), None)
