"""Who can connect to whom, worked out from NetworkPolicies as a cluster does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Final

from tests.unit.kubernetes.manifests import Manifest, selects

NAMESPACE_LABEL: Final = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Party:
    """A pod, in a namespace with labels of its own, or a machine outside the cluster."""

    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the policies of one namespace let through."""

    namespace: str
    policies: Sequence[Manifest]

    def passes(self, source: Party, target: Party, port: int, protocol: str = "TCP") -> bool:
        """Whether the source may connect to a port of the target."""
        return self._lets("Egress", source, target, port, protocol) and self._lets(
            "Ingress", target, source, port, protocol
        )

    def _lets(self, way: str, whose: Party, other: Party, port: int, protocol: str) -> bool:
        if whose.namespace != self.namespace:
            return True  # others' policies are not ours
        specs = [
            policy["spec"]
            for policy in self.policies
            if way in policy["spec"]["policyTypes"]
            and selects(policy["spec"]["podSelector"], whose.labels)
        ]
        rules = [rule for spec in specs for rule in spec.get(way.lower(), [])]
        return not specs or any(self._allows(rule, way, other, port, protocol) for rule in rules)

    def _allows(
        self, rule: Mapping[str, Any], way: str, other: Party, port: int, protocol: str
    ) -> bool:
        others = rule.get("from" if way == "Ingress" else "to")
        return any(
            (each["port"], each.get("protocol", "TCP")) == (port, protocol)
            for each in rule["ports"]
        ) and (others is None or any(self._is(each, other) for each in others))

    def _is(self, named: Mapping[str, Any], other: Party) -> bool:
        if "ipBlock" in named:
            assert named.keys() == {"ipBlock"}
            block = ip_network(named["ipBlock"]["cidr"])
            return bool(other.address) and ip_address(other.address) in block
        if other.address:
            return False
        if "namespaceSelector" in named:
            at_home = selects(named["namespaceSelector"], other.namespace_labels)
        else:
            at_home = other.namespace == self.namespace
        return at_home and selects(named.get("podSelector", {}), other.labels)
