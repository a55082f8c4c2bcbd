"""Dashboards in Grafana's own form (schema version 39, Grafana 10.4 and newer)."""

import json
from collections.abc import Iterator
from typing import Any, Final

from deploy.grafana.source.model import Dashboard, Kind, Panel, Query, Section, Variable

Json = dict[str, Any]

SCHEMA_VERSION: Final = 39
COLUMNS: Final = 24
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_GREEN: Final[Json] = {"color": "green", "value": None}


def rendered(dashboard: Dashboard) -> str:
    """Return the text of the dashboard's file."""
    return json.dumps(_dashboard(dashboard), indent=2) + "\n"


def _dashboard(dashboard: Dashboard) -> Json:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["shop"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "links": [_link_to_the_others()],
        "templating": {"list": [_data_source(), *(_variable(v) for v in dashboard.variables)]},
        "panels": list(_panels(dashboard)),
    }


def _link_to_the_others() -> Json:
    return {
        "type": "dashboards",
        "title": "shop",
        "tags": ["shop"],
        "asDropdown": False,
        "includeVars": False,
        "keepTime": True,
    }


def _data_source() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prometheus"},
    }


def _variable(variable: Variable) -> Json:
    query = f"label_values({variable.metric}, {variable.label})"
    return {
        "name": variable.name,
        "label": variable.name,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": variable.name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels(dashboard: Dashboard) -> Iterator[Json]:
    """Yield rows and their panels from left to right and from top to bottom."""
    number, top = 1, 0
    for section in dashboard.sections:
        yield _row(section, number, top)
        number, top = number + 1, top + 1
        left, height = 0, 0
        for panel in section.panels:
            if left + panel.width > COLUMNS:
                left, top, height = 0, top + height, 0
            yield {
                "id": number,
                "gridPos": {"x": left, "y": top, "w": panel.width, "h": panel.height},
                **_panel(panel),
            }
            number, left, height = number + 1, left + panel.width, max(height, panel.height)
        top += height


def _row(section: Section, number: int, top: int) -> Json:
    return {
        "id": number,
        "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
        "type": "row",
        "title": section.title,
        "collapsed": False,
        "panels": [],
    }


def _panel(panel: Panel) -> Json:
    return {
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "targets": [_target(panel, n, query) for n, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
    }


def _target(panel: Panel, number: int, query: Query) -> Json:
    return {
        "refId": chr(ord("A") + number),
        "datasource": _SOURCE,
        "expr": query.expression,
        "legendFormat": query.legend,
        "format": "heatmap" if panel.kind is Kind.HEATMAP else "time_series",
        "range": True,
    }


def _field(panel: Panel) -> Json:
    steps: list[Json] = [_GREEN]
    if panel.warn is not None:
        steps.append({"color": "orange", "value": panel.warn})
    field: Json = {
        "unit": panel.unit.value,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.most is not None:
        field["max"] = panel.most
    if panel.kind is Kind.LINES:
        field["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 40 if panel.stacked else 5,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "off" if panel.warn is None else "dashed"},
        }
    return field


def _options(panel: Panel) -> Json:
    match panel.kind:
        case Kind.NUMBER:
            return {
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "colorMode": "value",
                "graphMode": "area",
            }
        case Kind.HEATMAP:
            return {
                "calculate": False,
                "yAxis": {"unit": panel.unit.value},
                "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
                "cellGap": 1,
            }
        case Kind.LINES:
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
