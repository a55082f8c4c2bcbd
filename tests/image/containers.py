"""Images and containers of buildah's, and the processes in them."""

import contextlib
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

UID: Final = 10001

# What an engine does for a container's first process: a PID namespace of its own, the root not to
# be written to, a /tmp in memory.
_READ_ONLY: Final = """
set -eu
root=$1 keys=$2
shift 2
mount --bind "$root" "$root"
mount -o remount,ro,bind "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mkdir "$root/run/keys"
mount --bind "$keys" "$root/run/keys"
mount -t tmpfs tmpfs "$root/tmp"
exec chroot --userspec=10001:10001 "$root" env --ignore-environment "$@"
"""


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah, with the options that say where its images are."""

    words: tuple[str, ...]

    def ask(self, *words: str) -> str:
        """Return what a command of buildah's prints."""
        command = [*self.words, *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Image:
    """What an engine goes by when it runs an image."""

    name: str
    entrypoint: tuple[str, ...]
    health_check: tuple[str, ...]
    user: str
    environment: Mapping[str, str]
    stop_signal: str

    @classmethod
    def named(cls, buildah: Buildah, name: str) -> "Image":
        """Read an image's configuration."""
        found: dict[str, Any] = json.loads(buildah.ask("inspect", "--type", "image", name))
        config = found["Docker"]["config"]
        return cls(
            name=name,
            entrypoint=tuple(config["Entrypoint"]),
            health_check=tuple((config.get("Healthcheck") or {}).get("Test", ()))[1:],
            user=config["User"],
            environment=dict(pair.split("=", 1) for pair in config["Env"]),
            stop_signal=config["StopSignal"],
        )


@dataclass(frozen=True, slots=True)
class Container:
    """A container of an image; ``root`` is where its root lies on this machine."""

    buildah: Buildah
    image: Image
    id: str
    root: Path
    variables: Mapping[str, str]
    volumes: Mapping[Path, str]

    def command(self, *words: str) -> list[str]:
        """Return what runs the image's entry point with these arguments in the container."""
        return self.run(*self.image.entrypoint, *words)

    def run(self, *words: str) -> list[str]:
        """Return what runs a command in the container, as the image's user."""
        return [
            *(*self.buildah.words, "run"),
            *(f"--env={name}={value}" for name, value in self.variables.items()),
            *(f"--volume={path}:{place}" for path, place in self.volumes.items()),
            *(self.id, "--", *words),
        ]

    def read_only(self, *words: str, keys: Path) -> list[str]:
        """Return what runs the entry point as a first process, on a root that is read-only."""
        environment = {**self.image.environment, **self.variables}
        return [
            *(shutil.which("unshare") or "unshare", "--fork", "--kill-child", "--pid", "--mount"),
            *("sh", "-c", _READ_ONLY, "sh"),
            *(str(self.root), str(keys)),
            *(f"{name}={value}" for name, value in environment.items()),
            *(*self.image.entrypoint, *words),
        ]


@contextmanager
def container(
    buildah: Buildah,
    image: Image,
    variables: Mapping[str, str] | None = None,
    volumes: Mapping[Path, str] | None = None,
) -> Iterator[Container]:
    """Make a container of an image, until the end of the block."""
    name = buildah.ask("from", image.name)
    try:
        root = Path(buildah.ask("mount", name))
        yield Container(buildah, image, name, root, variables or {}, volumes or {})
    finally:
        buildah.ask("umount", name)
        buildah.ask("rm", name)


def first_of(pid: int, image: Image) -> int | None:
    """Return the first process of the image's entry point among the descendants of another.

    Between the two are those that make the container, one of them as the image's user already.
    """
    below = [pid]
    while below:
        process = below.pop(0)
        ours = _status(process).get("Uid", "").split()[:1] == [str(UID)]
        if ours and _arguments(process)[: len(image.entrypoint) - 1] == image.entrypoint[1:]:
            return process
        below += _children(process)
    return None


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    return bool(int(_status(pid).get("SigCgt", "0"), 16) >> (number - 1) & 1)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    # A child is listed at the thread that started it.
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended
            found += map(int, listed.read_text().split())
    return found


def _arguments(pid: int) -> tuple[str, ...]:
    try:
        return tuple(Path(f"/proc/{pid}/cmdline").read_text().split("\0")[1:])
    except OSError:
        return ()


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
