"""The files that Grafana reads."""

import json
from collections import Counter
from typing import Any

import pytest

from deploy.grafana.source.__main__ import DASHBOARDS, FOLDER
from deploy.grafana.source.model import Dashboard, Kind
from deploy.grafana.source.render import COLUMNS, rendered
from tests.slow.dashboards.support.alerts import ROOT, content

PROVISIONING = ROOT / "deploy/grafana/provisioning"
EACH_DASHBOARD = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda d: d.uid)
PANEL_TYPES = {"row", *Kind}

Json = dict[str, Any]


def file_of(dashboard: Dashboard) -> Json:
    page: Json = json.loads((FOLDER / f"{dashboard.uid}.json").read_text())
    return page


def panels_of(dashboard: Dashboard) -> list[Json]:
    return [panel for panel in file_of(dashboard)["panels"] if panel["type"] != "row"]


@EACH_DASHBOARD
def test_a_file_is_what_its_source_makes(dashboard: Dashboard) -> None:
    """`python -m deploy.grafana.source` makes it so."""
    assert (FOLDER / f"{dashboard.uid}.json").read_text() == rendered(dashboard)


def test_there_is_no_file_without_a_source() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == {d.uid for d in DASHBOARDS}


@EACH_DASHBOARD
def test_panels_have_numbers_and_titles_of_their_own(dashboard: Dashboard) -> None:
    panels = file_of(dashboard)["panels"]
    for what in ("id", "title"):
        assert Counter(panel[what] for panel in panels).most_common(1)[0][1] == 1


@EACH_DASHBOARD
def test_panels_lie_side_by_side_within_the_page(dashboard: Dashboard) -> None:
    taken = Counter[tuple[int, int]]()
    for panel in file_of(dashboard)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        taken.update(
            (place["x"] + across, place["y"] + down)
            for across in range(place["w"])
            for down in range(place["h"])
        )
    assert set(taken.values()) == {1}


@EACH_DASHBOARD
def test_a_panel_says_what_it_shows_in_which_unit_and_of_a_kind_that_grafana_still_has(
    dashboard: Dashboard,
) -> None:
    for panel in panels_of(dashboard):
        assert panel["type"] in PANEL_TYPES
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]


@EACH_DASHBOARD
def test_everything_is_asked_of_the_chosen_data_source(dashboard: Dashboard) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels_of(dashboard):
        assert panel["datasource"] == chosen
        assert [target["datasource"] for target in panel["targets"]] == [chosen] * len(
            panel["targets"]
        )
        assert panel["targets"]
    source, *others = file_of(dashboard)["templating"]["list"]
    assert (source["name"], source["query"]) == ("datasource", "prometheus")
    assert all(variable["datasource"] == chosen for variable in others)


@EACH_DASHBOARD
def test_only_variables_that_the_dashboard_has_are_used(dashboard: Dashboard) -> None:
    known = {f"${variable.name}" for variable in dashboard.variables} | {"$__rate_interval"}
    asked = " ".join(query.expression for panel in dashboard.panels() for query in panel.queries)
    used = {word for word in ("$job", "$method", "$cache", "$__rate_interval") if word in asked}
    assert used == known


def test_the_data_source_that_is_chosen_at_first_is_the_one_provided() -> None:
    (provided,) = content(PROVISIONING / "datasources/prometheus.yml")["datasources"]
    assert (provided["type"], provided["uid"]) == ("prometheus", "prometheus")
    for dashboard in DASHBOARDS:
        source = file_of(dashboard)["templating"]["list"][0]
        assert source["current"]["value"] == provided["uid"]
