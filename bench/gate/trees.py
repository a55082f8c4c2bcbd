"""Copies of the code to be run side by side."""

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parents[2]
_REQUIREMENTS: Final = Path("requirements/run.txt")


class NoTreeError(Exception):
    """A tree cannot be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The code at ``root``, run by ``python``; ``before`` is put before it on the path."""

    name: str
    root: Path = HERE
    python: str = sys.executable
    before: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def present(cls) -> "Tree":
        """Return this code as this process runs it, whatever is first on its path."""
        before = os.environ.get("PYTHONPATH", "")
        folders = [*before.split(os.pathsep), str(HERE), str(HERE / "proto")]
        return cls("this code", settings={"PYTHONPATH": os.pathsep.join(filter(None, folders))})

    @property
    def variables(self) -> dict[str, str]:
        """What makes a Python process take the modules of this tree, wherever it is started."""
        folders = [*([self.before] if self.before else []), self.root, self.root / "proto"]
        return {
            "PYTHONPATH": os.pathsep.join(map(str, folders)),
            "PYTHONSAFEPATH": "1",  # else the present folder comes first
            **self.settings,
        }


@contextmanager
def checked_out(ref: str) -> Iterator[Tree]:
    """Check a commit out into a temporary folder until the end of the block.

    It runs in our environment, or in one of its own if it requires other packages. Raises
    ``NoTreeError``.
    """
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "tree"
        _git("worktree", "add", "--quiet", "--detach", str(root), ref)
        try:
            yield Tree(ref, root, _python(root, Path(name) / "venv"))
        finally:
            _git("worktree", "remove", "--force", str(root))


def _python(root: Path, venv: Path) -> str:
    if filecmp.cmp(root / _REQUIREMENTS, HERE / _REQUIREMENTS, shallow=False):
        return sys.executable
    sys.stderr.write("installing the packages of the other commit\n")
    python = str(venv / "bin" / "python")
    requirements = str(root / _REQUIREMENTS)
    for command in (
        [sys.executable, "-m", "venv", str(venv)],
        [python, "-m", "pip", "install", "-qq", "--require-hashes", "-r", requirements],
    ):
        _run(command)
    return python


def _git(*arguments: str) -> None:
    git = shutil.which("git")
    if git is None:
        raise NoTreeError("another commit cannot be had without git")
    _run([git, "-C", str(HERE), *arguments])


def _run(command: list[str]) -> None:
    done = subprocess.run(  # noqa: S603
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise NoTreeError(f"{' '.join(command[:4])}: {done.stdout.strip()}")
