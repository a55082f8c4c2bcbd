"""What a run was made with."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime


def circumstances() -> dict[str, str]:
    """Return when, where and of which commit something was measured."""
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()}",
        "python": platform.python_version(),
    }


def commit() -> str:
    """Return the commit that is checked out, with a mark if files differ; empty without Git."""
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run(  # noqa: S603
        [git, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return done.stdout.strip()
