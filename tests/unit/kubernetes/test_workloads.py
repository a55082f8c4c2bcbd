"""The pods of the three services: what validators do not see."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from services.common.rpc.health import LIVENESS
from services.common.settings import PREFIX, SECRETS_DIR, read_settings
from services.order.bootstrap import _BACKGROUND_DRAIN_S
from tests.e2e.support.contracts import SERVICES
from tests.unit.kubernetes.manifests import OVERLAYS, Manifests, rendered, selects, sources
from tests.unit.kubernetes.services import CODE

CLOSING_S = 5.0
OPERATIONS = (Path(__file__).parents[3] / "docs/operations.md").read_text()
EVERY = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture(scope="module", params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    return rendered(request.param)


# ---- belonging together


@pytest.mark.parametrize(
    "kind",
    ["Deployment", "Service", "ServiceAccount", "HorizontalPodAutoscaler", "PodDisruptionBudget"],
)
def test_each_service_has_one_of_each_kind_and_nobody_else_has(
    manifests: Manifests, kind: str
) -> None:
    assert manifests.of_kind(kind).keys() == SERVICES.keys()


@pytest.mark.parametrize("kind", ["Deployment", "PodDisruptionBudget"])
@EVERY
def test_selectors_find_the_pods_of_their_service_alone(
    manifests: Manifests, service: str, kind: str
) -> None:
    selector = manifests.of_kind(kind)[service]["spec"]["selector"]
    assert _found(manifests, selector) == {service}


@EVERY
def test_a_name_leads_to_the_ready_pods_of_its_service_themselves(
    manifests: Manifests, service: str
) -> None:
    spec = manifests.of_kind("Service")[service]["spec"]
    assert spec["clusterIP"] == "None"
    assert not spec["publishNotReadyAddresses"]
    assert _found(manifests, {"matchLabels": spec["selector"]}) == {service}


@EVERY
def test_an_autoscaler_scales_its_service_which_leaves_the_number_to_it(
    manifests: Manifests, service: str
) -> None:
    autoscaler = manifests.of_kind("HorizontalPodAutoscaler")[service]["spec"]
    deployment = manifests.of_kind("Deployment")[service]
    assert autoscaler["scaleTargetRef"] == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": service,
    }
    assert "replicas" not in deployment["spec"]


@EVERY
def test_an_autoscaler_adds_pods_before_the_one_core_of_an_event_loop_is_full(
    manifests: Manifests, service: str
) -> None:
    autoscaler = manifests.of_kind("HorizontalPodAutoscaler")[service]["spec"]
    assert autoscaler["minReplicas"] < autoscaler["maxReplicas"]
    (metric,) = autoscaler["metrics"]
    assert metric["resource"]["name"] == "cpu"
    target = metric["resource"]["target"]
    assert target["type"] == "AverageValue"
    assert int(target["averageValue"].removesuffix("m")) < 1_000
    assert int(manifests.environment(service)["SHOP_WORKERS"]) == 1


@EVERY
def test_one_pod_always_serves(manifests: Manifests, service: str) -> None:
    least = manifests.of_kind("HorizontalPodAutoscaler")[service]["spec"]["minReplicas"]
    disruption = manifests.of_kind("PodDisruptionBudget")[service]["spec"]
    rollout = manifests.of_kind("Deployment")[service]["spec"]["strategy"]["rollingUpdate"]
    assert disruption["maxUnavailable"] < least
    assert rollout == {"maxUnavailable": 0, "maxSurge": 1}


@EVERY
def test_the_pods_of_a_service_are_spread_over_nodes_and_zones(
    manifests: Manifests, service: str
) -> None:
    labels = manifests.pod(service)["metadata"]["labels"]
    spread = manifests.pod(service)["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    for each in spread:
        assert selects(each["labelSelector"], labels)
        # Counted are the pods of this service and this revision alone.
        assert each["matchLabelKeys"] == ["app.kubernetes.io/name", "pod-template-hash"]
        assert labels["app.kubernetes.io/name"] == service


# ---- what is run


@EVERY
def test_a_pod_runs_its_service_as_its_own_account(manifests: Manifests, service: str) -> None:
    pod = manifests.pod(service)["spec"]
    assert manifests.server(service)["args"] == [service]
    assert pod["serviceAccountName"] == service


@EVERY
def test_ports_are_those_that_the_service_listens_on(manifests: Manifests, service: str) -> None:
    ports = CODE[service].ports
    expected = {"grpc": ports.rpc, "metrics": ports.metrics}
    declared = manifests.server(service)["ports"]
    offered = manifests.of_kind("Service")[service]["spec"]["ports"]
    assert {port["name"]: port["containerPort"] for port in declared} == expected
    assert {port["name"]: port["port"] for port in offered} == expected
    assert all(port["targetPort"] == port["name"] for port in offered)


@EVERY
def test_probes_ask_for_names_that_the_service_answers_to(
    manifests: Manifests, service: str
) -> None:
    server = manifests.server(service)
    rpc = CODE[service].ports.rpc
    assert server["startupProbe"]["grpc"] == {"port": rpc, "service": LIVENESS}
    assert server["livenessProbe"]["grpc"] == {"port": rpc, "service": LIVENESS}
    assert server["readinessProbe"]["grpc"] == {
        "port": rpc,
        "service": SERVICES[service].full_name,
    }


@EVERY
def test_a_pod_may_do_nothing_that_it_need_not(manifests: Manifests, service: str) -> None:
    pod = manifests.pod(service)["spec"]
    assert pod["automountServiceAccountToken"] is False
    account = manifests.of_kind("ServiceAccount")[service]
    assert account["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert manifests.server(service)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = [path for path, volume in manifests.mounted(service).items() if "emptyDir" in volume]
    assert writable == ["/tmp"]  # noqa: S108 (a folder of the pod alone)


@EVERY
def test_a_pod_has_memory_for_what_the_cache_may_hold(manifests: Manifests, service: str) -> None:
    resources = manifests.server(service)["resources"]
    spare = _mebibytes(resources["limits"]["memory"]) - _mebibytes(resources["requests"]["memory"])
    assert spare * 1024 * 1024 >= CODE[service].settings.model_fields["near_bytes"].default


# ---- settings and secrets


@EVERY
def test_every_variable_of_a_pod_is_a_setting_of_its_service(
    manifests: Manifests, service: str
) -> None:
    known = {PREFIX + name.upper() for name in CODE[service].settings.model_fields}
    assert manifests.environment(service).keys() <= {*known, SECRETS_DIR}


@EVERY
def test_with_its_secrets_a_service_can_read_its_settings(
    manifests: Manifests, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = manifests.environment(service)
    assert manifests.mounted(service)[environment[SECRETS_DIR]]["name"] == "secrets"
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, value in {**environment, SECRETS_DIR: str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    for secret in CODE[service].secrets:
        (tmp_path / secret).write_text(f"{'redis' if 'redis' in secret else 'mongodb'}://a-store")
    settings = read_settings(CODE[service].settings)
    assert settings.bind_host == "0.0.0.0"  # noqa: S104 (of a pod, which a policy guards)
    assert settings.ports == CODE[service].ports


@EVERY
def test_the_keys_of_a_service_are_where_it_looks_for_them_and_no_other_is(
    manifests: Manifests, service: str
) -> None:
    environment = manifests.environment(service)
    paths = {Path(environment[PREFIX + name.upper()]) for name in CODE[service].key_files}
    (folder,) = {path.parent for path in paths}
    keys = manifests.mounted(service)[str(folder)]
    private = {path.name for path in paths} - {"trusted-keys.json"}
    assert set(sources(keys)) == {
        ("configMap", "trusted-keys"),
        *(("secret", f"{service}-signing-key") for _ in private),
    }
    projected = [source["secret"] for source in keys["projected"]["sources"] if "secret" in source]
    assert {item["path"] for each in projected for item in each["items"]} == private


@EVERY
def test_a_service_sees_the_secrets_that_are_its_own(manifests: Manifests, service: str) -> None:
    seen = {
        name
        for volume in manifests.mounted(service).values()
        if "projected" in volume
        for kind, name in sources(volume)
        if kind == "secret"
    }
    assert f"{service}-secrets" in seen
    assert all(name.startswith(f"{service}-") for name in seen)


def test_secrets_are_named_and_never_part_of_what_is_applied(manifests: Manifests) -> None:
    assert not manifests.of_kind("Secret")
    settings = [
        (name, value)
        for config in manifests.of_kind("ConfigMap").values()
        for name, value in config["data"].items()
    ]
    secret = {name.upper() for service in CODE.values() for name in service.secrets}
    assert not secret & {name for name, _ in settings}
    assert not [value for _, value in settings if re.search(r"://[^/]*@|PRIVATE KEY", value)]


def test_operators_are_told_to_make_what_is_mounted_and_nothing_else(
    manifests: Manifests,
) -> None:
    made = re.findall(r"kubectl -n shop create (?:secret generic|configmap) (\S+)", OPERATIONS)
    projected = [
        name
        for service in SERVICES
        for volume in manifests.mounted(service).values()
        if "projected" in volume
        for _, name in sources(volume)
    ]
    told = {name.replace("$s", service) for name in made for service in SERVICES}
    assert told == {*projected, "load-secrets"}  # of which tests/unit/kubernetes/test_load.py tells


def test_order_calls_the_others_by_the_names_that_lead_to_all_their_pods(
    manifests: Manifests,
) -> None:
    environment = manifests.environment("order")
    for service in ("user", "inventory"):
        target = environment[f"SHOP_{service.upper()}_TARGET"]
        assert target == f"dns:///{service}:{CODE[service].ports.rpc}"


# ---- the end of a pod


@EVERY
def test_a_pod_has_the_time_that_its_end_takes(manifests: Manifests, service: str) -> None:
    environment = manifests.environment(service)
    server = manifests.server(service)
    withdrawn_s = server["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain_s = float(environment["SHOP_DRAIN_TIMEOUT_S"])
    grace_s = manifests.pod(service)["spec"]["terminationGracePeriodSeconds"]
    assert withdrawn_s >= 10  # names are looked up again every 5 s, and told of a change first
    assert drain_s == CODE[service].settings.model_fields["drain_timeout_s"].default
    notice_s = float(environment["SHOP_DRAIN_NOTICE_S"])
    assert grace_s >= withdrawn_s + notice_s + drain_s + _BACKGROUND_DRAIN_S + CLOSING_S


@EVERY
def test_a_new_pod_counts_once_names_lead_to_it(manifests: Manifests, service: str) -> None:
    assert manifests.of_kind("Deployment")[service]["spec"]["minReadySeconds"] >= 10


def _found(manifests: Manifests, selector: dict[str, Any]) -> set[str]:
    return {
        service
        for service in SERVICES
        if selects(selector, manifests.pod(service)["metadata"]["labels"])
    }


def _mebibytes(quantity: str) -> int:
    return int(quantity.removesuffix("Mi"))
