"""What `kubectl apply -k` would send, and where to find things in it."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

FOLDER: Final = Path(__file__).parents[3] / "deploy/kubernetes"
OVERLAYS: Final = ("base", "overlays/production")
_KUBECTL: Final = Path(sys.executable).parent / "kubectl"

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Manifests:
    """Everything that one kustomization makes."""

    all: Sequence[Manifest]

    def of_kind(self, kind: str) -> dict[str, Manifest]:
        """All of a kind, by name."""
        return {each["metadata"]["name"]: each for each in self.all if each["kind"] == kind}

    def pod(self, service: str) -> Manifest:
        """The pods of a service, as their Deployment makes them."""
        template: Manifest = self.of_kind("Deployment")[service]["spec"]["template"]
        return template

    def server(self, service: str) -> Manifest:
        """The one container of the pods of a service."""
        (container,) = self.pod(service)["spec"]["containers"]
        return dict(container)

    def environment(self, service: str) -> dict[str, str]:
        """What a service's process finds in its environment."""
        server = self.server(service)
        assert "env" not in server
        found: dict[str, str] = {}
        for source in server["envFrom"]:
            found.update(self.of_kind("ConfigMap")[source["configMapRef"]["name"]]["data"])
        return found

    def mounted(self, service: str) -> dict[str, Manifest]:
        """The volumes of a service's pods, by the folder where its process finds them."""
        volumes = {each["name"]: each for each in self.pod(service)["spec"]["volumes"]}
        return {
            mount["mountPath"]: volumes[mount["name"]]
            for mount in self.server(service)["volumeMounts"]
        }

    def policies(self) -> Sequence[Manifest]:
        """Who may talk to whom."""
        return list(self.of_kind("NetworkPolicy").values())


@cache
def rendered(folder: str) -> Manifests:
    """Render a kustomization of ``deploy/kubernetes``."""
    command = [str(_KUBECTL), "kustomize", str(FOLDER / folder)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)  # noqa: S603
    return Manifests(list(YAML(typ="safe").load_all(done.stdout)))


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    assert selector.keys() <= {"matchLabels", "matchExpressions"}
    expressions = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in expressions)
    return labels.items() >= selector.get("matchLabels", {}).items() and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )


def sources(volume: Manifest) -> Iterator[tuple[str, str]]:
    """The kind and name of everything that is projected into a volume."""
    for source in volume["projected"]["sources"]:
        for kind, reference in source.items():
            yield kind, reference["name"]
