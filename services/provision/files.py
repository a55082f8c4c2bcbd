"""Secret files, each readable for one user alone."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from services.common.files import write_whole

_FOR_ONE: Final = 0o400


def kept(path: Path, generate: Callable[[], str]) -> str:
    """Return what the file says; where there is none, what ``generate`` makes is written first."""
    if not path.exists():
        handed_over(path, generate().encode(), os.geteuid())
    return path.read_text()


def handed_over(path: Path, content: bytes, owner: int) -> None:
    """Make the file say this, readable for the user of this id and nobody else."""
    write_whole(path, content, _FOR_ONE, owner)
