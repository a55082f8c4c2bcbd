"""The load on a cluster: Jobs that find the shop and each other, and end."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from loadtests.options import of_master
from tests.e2e.support.contracts import SERVICES
from tests.unit.kubernetes.manifests import Manifest, rendered, selects
from tests.unit.kubernetes.services import CODE
from tests.unit.kubernetes.traffic import NAMESPACE_LABEL, Party, Traffic

LOCUST = 5557
JOBS = ["load-master", "load-workers"]


def job(name: str) -> Manifest:
    spec: Manifest = rendered("load").of_kind("Job")[name]["spec"]
    return spec


def container(name: str) -> Manifest:
    (only,) = job(name)["template"]["spec"]["containers"]
    return dict(only)


def pod(name: str) -> Party:
    labels = job(name)["template"]["metadata"]["labels"]
    return Party(labels, "shop", {NAMESPACE_LABEL: "shop"})


def options() -> dict[str, str]:
    """What the master is told."""
    words = [word for word in container("load-master")["args"] if word.startswith("--")]
    return dict(word.split("=", 1) for word in words)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic("shop", [*rendered("base").policies(), *rendered("load").policies()])


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_by_itself_and_is_not_repeated(name: str) -> None:
    spec = job(name)
    assert spec["backoffLimit"] == 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert int(options()["--duration"]) < spec["activeDeadlineSeconds"] <= 3600
    assert spec["ttlSecondsAfterFinished"] > 0


def test_the_master_waits_for_as_many_workers_as_there_are() -> None:
    workers = job("load-workers")
    assert workers["parallelism"] == workers["completions"] == int(options()["--workers"])


def test_the_workers_find_their_master_and_reach_it(traffic: Traffic) -> None:
    service = rendered("load").of_kind("Service")["load-master"]["spec"]
    assert container("load-workers")["args"] == ["worker", "--master=load-master"]
    assert selects({"matchLabels": service["selector"]}, pod("load-master").labels)
    assert not selects({"matchLabels": service["selector"]}, pod("load-workers").labels)
    assert [port["port"] for port in service["ports"]] == [LOCUST]
    assert traffic.passes(pod("load-workers"), pod("load-master"), LOCUST)
    assert not traffic.passes(pod("load-master"), pod("load-workers"), LOCUST)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name", JOBS)
def test_both_reach_the_services(name: str, service: str, traffic: Traffic) -> None:
    port = CODE[service].ports.rpc
    labels = rendered("base").pod(service)["metadata"]["labels"]
    assert traffic.passes(pod(name), Party(labels, "shop", {NAMESPACE_LABEL: "shop"}), port)


@pytest.mark.parametrize("service", SERVICES)
def test_the_master_is_told_where_the_services_are(service: str) -> None:
    told = {each["name"]: each.get("value") for each in container("load-master")["env"]}
    assert told[f"SHOP_{service.upper()}_TARGET"] == f"{service}:{CODE[service].ports.rpc}"


def test_the_master_understands_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in container("load-master")["env"]:
        monkeypatch.setenv(each["name"], each.get("value", "a password"))
    told = of_master([f"{name}={value}" for name, value in options().items()])
    assert told.user == f"user:{CODE['user'].ports.rpc}"
    assert told.master_port == LOCUST


def test_the_job_of_the_master_ends_as_the_master_does(tmp_path: Path) -> None:
    """Its shell passes on what the master is told, and its exit code."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    python.chmod(0o755)
    master = container("load-master")
    done = subprocess.run(  # noqa: S603 (our own manifest)
        ["/bin/sh", *master["command"][1:], *master["args"]],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert master["command"][0] == "sh"
    assert done.stdout.startswith("-m loadtests master --workers=2 --")
    assert done.returncode == 3


@pytest.mark.parametrize("name", JOBS)
def test_its_password_is_a_secret_and_its_pods_may_do_as_little_as_others(name: str) -> None:
    (password,) = (each for each in container(name)["env"] if each["name"] == "SHOP_LOAD_PASSWORD")
    assert password["valueFrom"]["secretKeyRef"]["name"] == "load-secrets"
    spec: Any = job(name)["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert container(name)["securityContext"]["readOnlyRootFilesystem"] is True
