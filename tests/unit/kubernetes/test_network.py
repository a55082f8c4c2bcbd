"""Who may connect to whom: every way that the code takes, and no other."""

from itertools import product
from typing import Final

import pytest

from tests.e2e.support.contracts import SERVICES
from tests.unit.kubernetes.manifests import OVERLAYS, Manifests, rendered
from tests.unit.kubernetes.services import CODE
from tests.unit.kubernetes.traffic import NAMESPACE_LABEL, Party, Traffic

HOME: Final = "shop"
RPC: Final = {name: CODE[name].ports.rpc for name in SERVICES}
METRICS: Final = {name: CODE[name].ports.metrics for name in SERVICES}
PORTS: Final = [*RPC.values(), *METRICS.values(), 27017, 6379, 5557, 22, 443]
CALLS: Final = {("order", "user", RPC["user"]), ("order", "inventory", RPC["inventory"])}
MONGODB, REDIS = Party(address="10.20.0.7"), Party(address="10.20.1.7")
ELSEWHERE: Final = Party(address="203.0.113.7")
EVERY = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture(scope="module", params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    return rendered(request.param)


@pytest.fixture(scope="module")
def traffic(manifests: Manifests) -> Traffic:
    load = rendered("load").policies()
    return Traffic(HOME, [*manifests.policies(), *load])


def inhabitant(manifests: Manifests, service: str) -> Party:
    """A pod of a service."""
    return _at_home(manifests.pod(service)["metadata"]["labels"])


def guest(labels: dict[str, str], *, in_labelled_namespace: bool = False) -> Party:
    """A pod of another namespace."""
    namespace = {NAMESPACE_LABEL: "web"}
    if in_labelled_namespace:
        namespace["shop-access"] = "client"
    return Party(labels, "web", namespace)


def test_between_the_services_order_calls_the_two_others_and_nothing_else_passes(
    manifests: Manifests, traffic: Traffic
) -> None:
    passing = {
        (source, target, port)
        for source, target, port in product(SERVICES, SERVICES, PORTS)
        if source != target
        and traffic.passes(inhabitant(manifests, source), inhabitant(manifests, target), port)
    }
    assert passing == CALLS


@EVERY
def test_clients_reach_the_service_and_not_its_figures(
    manifests: Manifests, traffic: Traffic, service: str
) -> None:
    pod = inhabitant(manifests, service)
    client = {"shop-access": "client"}
    for who in (guest({}, in_labelled_namespace=True), _at_home(client)):
        open_ports = [port for port in PORTS if traffic._lets("Ingress", pod, who, port, "TCP")]
        assert open_ports == [RPC[service]]


@EVERY
def test_who_is_no_client_reaches_nothing(
    manifests: Manifests, traffic: Traffic, service: str
) -> None:
    pod = inhabitant(manifests, service)
    strangers = [
        guest({"shop-access": "client"}),  # a label on a pod counts at home alone
        guest({"app.kubernetes.io/name": "order"}),
        _at_home({"app.kubernetes.io/part-of": "shop"}),
        ELSEWHERE,
    ]
    assert not [
        (who, port) for who, port in product(strangers, PORTS) if traffic.passes(who, pod, port)
    ]


def test_a_pod_that_no_policy_names_reaches_nobody_and_is_reached_by_nobody(
    manifests: Manifests, traffic: Traffic
) -> None:
    unnamed = _at_home({})
    others = [*(inhabitant(manifests, service) for service in SERVICES), ELSEWHERE]
    assert not [
        (other, port)
        for other, port in product(others, PORTS)
        if traffic.passes(unnamed, other, port) or traffic.passes(other, unnamed, port)
    ]


@EVERY
def test_monitoring_reads_the_figures_and_calls_nothing(
    manifests: Manifests, traffic: Traffic, service: str
) -> None:
    prometheus = Party({}, "monitoring", {NAMESPACE_LABEL: "monitoring"})
    pod = inhabitant(manifests, service)
    assert [port for port in PORTS if traffic.passes(prometheus, pod, port)] == [METRICS[service]]


@EVERY
def test_a_service_reaches_the_stores_and_looks_names_up(
    manifests: Manifests, traffic: Traffic, service: str
) -> None:
    pod = inhabitant(manifests, service)
    names = Party({"k8s-app": "kube-dns"}, "kube-system", {NAMESPACE_LABEL: "kube-system"})
    assert traffic.passes(pod, MONGODB, 27017)
    assert traffic.passes(pod, REDIS, 6379)
    assert traffic.passes(pod, names, 53, "UDP")
    assert traffic.passes(pod, names, 53, "TCP")


@EVERY
def test_in_production_a_service_reaches_nothing_else(service: str) -> None:
    manifests = rendered("overlays/production")
    traffic = Traffic(HOME, manifests.policies())
    pod = inhabitant(manifests, service)
    outside = [MONGODB, REDIS, ELSEWHERE, guest({})]
    assert {
        (who.address, port)
        for who, port in product(outside, PORTS)
        if traffic.passes(pod, who, port)
    } == {(MONGODB.address, 27017), (REDIS.address, 6379)}


def _at_home(labels: dict[str, str]) -> Party:
    return Party(labels, HOME, {NAMESPACE_LABEL: HOME})
