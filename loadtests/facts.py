"""What a run was made on: machine, versions, settings, and the commit."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from loadtests import PROJECT
from loadtests.cpu import executable_of
from loadtests.shops import Shop

UNKNOWN: Final = "unknown"
_WITHIN_S: Final = 10.0
_GENERATOR: Final = ("locust", "gevent", "grpcio", "protobuf", "hdrhistogram")
_SERVICES: Final = (
    "grpcio", "pygrpc-native", "motor", "pymongo", "redis", "uvloop", "orjson", "protobuf",
)  # fmt: skip
_LEFT_OUT: Final = {"PASSWORD", "KEY", "URI", "URL", "PORT", "DIR", "FILE"}
_KIB_PER_GIB: Final = 1024**2
_ASK_VERSIONS: Final = """
import sys
from importlib.metadata import PackageNotFoundError, version
print("python", sys.version.split()[0])
for name in sys.argv[1:]:
    try:
        print(name, version(name))
    except PackageNotFoundError:
        pass
"""


def machine() -> dict[str, str]:
    """Return what the machine is, and how busy it was before."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _field("/proc/cpuinfo", "model name") or platform.processor() or UNKNOWN,
        "cores": str(os.cpu_count() or UNKNOWN),
        "memory_gib": _memory(),
        "load_average_before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def versions(shop: Shop) -> dict[str, str]:
    """Return the commit and the versions of the generator, and of a shop that the run started."""
    found = {
        "commit": _commit(),
        "load generator python": platform.python_version(),
        **{f"load generator {name}": version(name) for name in _GENERATOR},
    }
    if shop.pid is None:
        return found
    for line in _output([str(PROJECT / ".venv/bin/python"), "-c", _ASK_VERSIONS, *_SERVICES]):
        name, _, number = line.partition(" ")
        found[f"services {name}"] = number
    for store in ("mongodb", "redis"):
        program = executable_of(shop.pid, store)
        lines = _output([program, "--version"]) if program else []
        found[store] = lines[0] if lines else UNKNOWN
    return found


def settings(shop: Shop) -> dict[str, str]:
    """Return the SHOP_* variables that the services had, without ports, paths and secrets."""
    inherited: Mapping[str, str] = os.environ if shop.pid is not None else {}
    known = {**inherited, **shop.settings}
    return {
        name: value
        for name, value in sorted(known.items())
        if name.startswith("SHOP_") and _LEFT_OUT.isdisjoint(name.split("_"))
    }


def _commit() -> str:
    commit = _output(["git", "rev-parse", "HEAD"])
    if not commit:
        return UNKNOWN
    changed = _output(["git", "status", "--porcelain", "--untracked-files=no"])
    return f"{commit[0]} and changes" if changed else commit[0]


def _output(command: Sequence[str]) -> list[str]:
    """Return the lines that a command prints, none if it cannot be run."""
    program = shutil.which(command[0])
    if program is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603 (our own command lines)
            [program, *command[1:]],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.strip().splitlines() if done.returncode == 0 else []


def _memory() -> str:
    total = _field("/proc/meminfo", "MemTotal")
    return f"{int(total.split()[0]) / _KIB_PER_GIB:.1f}" if total else UNKNOWN


def _field(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    found = (line.partition(":")[2].strip() for line in lines if line.startswith(name))
    return next(found, "")
