"""The dashboard: its queries name what there is, and what there is stands on it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.promql import Query, families, samples

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "monitoring" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [
    pytest.param(target, id=f"{panel['id']}{target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]
LEFT_OUT: dict[str, str] = {}
"""Metrics that stand on no panel, with the reason."""
LEGEND = re.compile(r"\{\{(\w+)\}\}")
VARIABLES = {"$__rate_interval": "5m", "$__range": "6h", "$namespace": "n", "$instance": "i"}


def query_of(text: str) -> Query:
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    assert "$" not in text
    return Query(text, samples())


@pytest.mark.parametrize("target", TARGETS)
def test_a_query_names_metrics_and_labels_there_are(target: dict[str, Any]) -> None:
    query = query_of(target["expr"])
    assert query.problems == []
    assert set(LEGEND.findall(target["legendFormat"])) <= query.labels
    assert {"namespace", "instance"} <= {label for label, _ in query.matched}


def test_every_metric_is_shown_or_left_out_for_a_reason() -> None:
    queries = [query_of(target["expr"]) for panel in PANELS for target in panel["targets"]]
    shown = {name for query in queries for name in query.metrics}
    missing = {family for family, names in families().items() if not names & shown}
    assert missing == set(LEFT_OUT)
    assert all(LEFT_OUT.values())


def test_variables_list_labels_there_are() -> None:
    source, *lists = DASHBOARD["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    assert [each["name"] for each in lists] == ["namespace", "instance"]
    for each in lists:
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", each["query"]["query"])
        assert found
        query = query_of(found[1])
        assert query.problems == []
        assert each["name"] == found[2] in query.labels
        # Where no target has a namespace, `All` still finds everything.
        assert each["allValue"] == ".*"


def test_rows_tell_the_story_from_calls_to_the_process() -> None:
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == [
        "Traffic",
        "Plans and learning",
        "Quality, reward and savings",
        "Latency",
        "Spend and budgets",
        "Providers and circuits",
        "Store and learner",
        "Process",
    ]


def test_no_panel_lies_on_another_or_beside_the_page() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert beside, (one, other)


def test_panels_have_ids_of_their_own_and_ask_the_chosen_prometheus() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in PANELS:
        asked = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in asked)
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)


def test_what_is_written_from_tables_and_rules_is_fresh() -> None:
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(ROOT / "scripts" / "gen_monitoring"), "--check"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_operators_rule_holds_the_same_rules() -> None:
    path = DEPLOY / "monitoring" / "prometheusrule.yaml"
    rule = yaml.safe_load(path.read_text(encoding="utf-8"))
    alerts = yaml.safe_load((DEPLOY / "monitoring" / "alerts.yaml").read_text(encoding="utf-8"))
    assert rule["spec"] == alerts
