"""compose.yml as the tests read it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

PROJECT = Path(__file__).parents[1]
COMPOSE = PROJECT / "compose.yml"
STORES_ONLY = PROJECT / "deploy/compose/stores.yml"

Container = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mount:
    """What a container sees at ``target``: a folder of the project, or a named volume."""

    source: str
    target: str
    read_only: bool

    @property
    def is_volume(self) -> bool:
        """Whether it is a named volume."""
        return not self.source.startswith((".", "/"))


def loaded(path: Path) -> Mapping[str, Any]:
    """Return what a compose file says, with what is merged into each part."""
    content: Mapping[str, Any] = YAML(typ="safe").load(path)
    return content


def containers() -> Mapping[str, Container]:
    """Return the services of compose.yml by name."""
    named: Mapping[str, Container] = loaded(COMPOSE)["services"]
    return named


def mounts(container: Container) -> Iterator[Mount]:
    """Return what a container mounts."""
    for text in container.get("volumes", ()):
        source, target, *options = text.split(":")
        yield Mount(source, target, read_only="ro" in options)


def runs_on(container: Container) -> bool:
    """Whether the container is to run for as long as the shop does."""
    return bool(container["restart"] != "no")
