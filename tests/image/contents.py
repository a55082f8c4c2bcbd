"""What is in an image, and what should not be."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.image.containers import UID

# What could add to what is installed, or make something of it.
_TOOLS: Final = {"ar", "as", "c++", "cc", "cpp", "g++", "gcc", "ld", "make", "pip", "pip3", "uv"}
_PACKAGES: Final = {"pip", "ensurepip"}
_MB: Final = 1_000_000


def tools_in(root: Path) -> list[str]:
    """Return compilers and installers."""
    programs = {
        place for folder in ("bin", "usr/bin", "usr/local/bin", "opt/venv/bin")
        for place in (root / folder).glob("*")
        if place.name in _TOOLS
    }  # fmt: skip
    return sorted(str(place) for place in programs)


def installers_in(root: Path) -> list[str]:
    """Return packages for Python that install others."""
    found = root.glob("**/lib/python3*/**/__init__.py")
    return sorted(
        str(place.parent)
        for place in found
        if place.parent.name in _PACKAGES
        and (place.parent.parent.name.endswith("-packages") or place.parent.name == "ensurepip")
    )


def writable_in(root: Path) -> list[str]:
    """Return what the image's user may change, but for folders that are for everybody's files."""
    return sorted(f"/{place.relative_to(root)}" for place in _entries(root) if _is_theirs(place))


def not_compiled_in(root: Path) -> list[str]:
    """Return the project's modules that would be compiled at each start."""
    return sorted(
        str(place)
        for place in (root / "app").glob("**/*.py")
        if not list(place.parent.glob(f"__pycache__/{place.stem}.*.pyc"))
    )


def size_mb(root: Path) -> float:
    """Return how many millions of bytes an image's files are."""
    return sum(place.lstat().st_size for place in _entries(root) if place.is_file()) / _MB


def _is_theirs(place: Path) -> bool:
    facts = place.lstat()
    if stat.S_ISLNK(facts.st_mode) or facts.st_mode & stat.S_ISVTX:
        return False
    return facts.st_uid == UID or bool(facts.st_mode & stat.S_IWOTH)


def _entries(root: Path) -> Iterator[Path]:
    return (place for place in root.rglob("*") if not place.is_relative_to(root / "dev"))
