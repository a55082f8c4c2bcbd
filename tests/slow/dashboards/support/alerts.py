"""The alerts and their tests, as their files have them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[4]
ALERTS_FILE = ROOT / "deploy/prometheus/alerts.yml"
ALERTS_TEST_FILE = ROOT / "deploy/prometheus/alerts_test.yml"
PROMETHEUS_FILE = ROOT / "deploy/prometheus/prometheus.yml"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert."""

    name: str
    expression: str
    severity: str
    annotations: dict[str, str]


def content(file: Path) -> Any:
    """Return what a YAML file says."""
    return YAML(typ="safe", pure=True).load(file)


ALERTS = [
    Alert(rule["alert"], rule["expr"], rule["labels"]["severity"], rule["annotations"])
    for group in content(ALERTS_FILE)["groups"]
    for rule in group["rules"]
]
