"""How Prometheus finds the pods, and what it calls them."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.e2e.support.contracts import SERVICES
from tests.unit.kubernetes.manifests import FOLDER, Manifest, rendered

POD = "__meta_kubernetes_pod_"


def scrape() -> Any:
    (config,) = YAML(typ="safe").load(Path(FOLDER / "prometheus.yml"))
    return config


def discovered(template: Manifest, port: str, phase: str = "Running") -> dict[str, str]:
    """The labels of a port of a pod as Prometheus discovers it."""
    labels = {
        f"{POD}label_{re.sub('[^a-zA-Z0-9]', '_', name)}": value
        for name, value in template["metadata"]["labels"].items()
    }
    at = {f"{POD}name": "a-pod", f"{POD}node_name": "a-node"}
    return {**labels, **at, f"{POD}container_port_name": port, f"{POD}phase": phase}


def relabelled(labels: dict[str, str]) -> dict[str, str] | None:
    """What Prometheus makes of them; nothing if it leaves the port alone."""
    for step in scrape()["relabel_configs"]:
        value = ";".join(labels.get(name, "") for name in step["source_labels"])
        if step.get("action") == "keep":
            if not re.fullmatch(step["regex"], value):
                return None
        else:
            labels = {**labels, step["target_label"]: value}
    return labels


@pytest.mark.parametrize("service", SERVICES)
def test_the_figures_of_a_pod_are_read_under_the_name_of_its_service(service: str) -> None:
    template = rendered("base").pod(service)
    found = relabelled(discovered(template, "metrics"))
    assert found is not None
    assert (found["job"], found["instance"], found["node"]) == (service, "a-pod", "a-node")
    assert relabelled(discovered(template, "grpc")) is None
    assert relabelled(discovered(template, "metrics", phase="Succeeded")) is None


def test_nothing_is_read_from_pods_that_make_load() -> None:
    (port,) = rendered("load").of_kind("Job")["load-master"]["spec"]["template"]["spec"][
        "containers"
    ][0]["ports"]
    template = rendered("load").of_kind("Job")["load-master"]["spec"]["template"]
    assert relabelled(discovered(template, port["name"])) is None


def test_it_looks_in_the_namespace_of_the_shop() -> None:
    (discovery,) = scrape()["kubernetes_sd_configs"]
    assert discovery == {"role": "pod", "namespaces": {"names": ["shop"]}}
    assert {each["metadata"].get("namespace") for each in rendered("base").all} == {"shop", None}
