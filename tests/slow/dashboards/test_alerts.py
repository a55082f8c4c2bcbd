"""The alerts' files, their tests and their runbook."""

import json
import re
from pathlib import Path

import pytest

from services.inventory.settings import Settings as InventorySettings
from services.order.settings import Settings as OrderSettings
from services.user.settings import Settings as UserSettings
from tests.slow.dashboards.support.alerts import (
    ALERTS,
    ALERTS_FILE,
    ALERTS_TEST_FILE,
    PROMETHEUS_FILE,
    ROOT,
    Alert,
    content,
)
from tests.slow.dashboards.support.prometheus import promtool

PODS_FILE = ROOT / "deploy/kubernetes/prometheus.yml"
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
EACH_ALERT = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)


@pytest.mark.parametrize(
    ("kind", "file"),
    [("config", PROMETHEUS_FILE), ("rules", ALERTS_FILE)],
    ids=["config", "rules"],
)
async def test_prometheus_can_read_its_files(kind: str, file: Path) -> None:
    code, said = await promtool("check", kind, file)
    assert code == 0, said


async def test_prometheus_can_read_what_it_makes_of_the_pods_of_a_cluster(tmp_path: Path) -> None:
    (job,) = content(PODS_FILE)
    del job["kubernetes_sd_configs"]  # which Debian's Prometheus is built without
    file = tmp_path / "prometheus.yml"
    file.write_text(json.dumps({"scrape_configs": [job]}))  # which is YAML
    code, said = await promtool("check", "config", file)
    assert code == 0, said


async def test_each_alert_fires_when_it_should_and_not_otherwise() -> None:
    code, said = await promtool("test", "rules", ALERTS_TEST_FILE)
    assert code == 0, said


@EACH_ALERT
def test_an_alert_was_seen_to_fire_and_to_be_silent(alert: Alert) -> None:
    expected = [
        bool(test["exp_samples"])
        for group in content(ALERTS_TEST_FILE)["tests"]
        for test in group["promql_expr_test"]
        if f'alertname="{alert.name}",alertstate="firing"' in test["expr"]
    ]
    assert set(expected) == {True, False}


@EACH_ALERT
def test_an_alert_says_how_bad_it_is_what_it_means_and_what_to_look_at_first(alert: Alert) -> None:
    assert alert.severity in {"critical", "warning"}
    assert alert.annotations.keys() == {"summary", "description", "runbook"}
    section, _, first_look = alert.annotations["runbook"].partition(": ")
    assert section == f"docs/runbook.md#{alert.name.lower()}"
    assert first_look.endswith((".", "?"))


def test_each_alert_has_its_section_of_the_runbook_and_each_section_its_alert() -> None:
    assert sorted(re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)) == sorted(
        alert.name for alert in ALERTS
    )


@EACH_ALERT
def test_a_section_says_what_it_means_who_notices_and_what_to_do(alert: Alert) -> None:
    _, _, rest = RUNBOOK.partition(f"\n## {alert.name}\n")
    section, _, _ = rest.partition("\n## ")
    assert re.findall(r"^\*\*(.+?)\*\*", section, re.MULTILINE) == [
        "Means.",
        "Callers.",
        "Look.",
        "Do.",
    ]


def test_prometheus_scrapes_each_service_where_it_gives_its_figures() -> None:
    found = {
        job["job_name"]: (source["names"], source["port"])
        for job in content(PROMETHEUS_FILE)["scrape_configs"]
        for source in job["dns_sd_configs"]
    }
    assert found == {
        "user": (["user"], UserSettings.model_fields["user_metrics_port"].default),
        "inventory": (
            ["inventory"],
            InventorySettings.model_fields["inventory_metrics_port"].default,
        ),
        "order": (["order"], OrderSettings.model_fields["order_metrics_port"].default),
    }
