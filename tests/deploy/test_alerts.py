"""Alert rules: they name what there is, fire when they should, and lead to a page that helps."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.domain.errors import RouterError
from tests.deploy.prometheus import tool
from tests.deploy.promql import TARGET, Query, samples

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
RULES = [
    rule
    for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
LABEL = re.compile(r"\$labels\.(\w+)")
PAGE = "https://github.com/adaptive-router/adaptive-router/blob/main/docs/monitoring.md#"
ABSENT = "AdaptiveRouterAbsent"
WANTED = {
    "NoFeedback": "no feedback for hours",
    "LearnerDown": "learner down",
    "LearnerLags": "learner lags",
    "StoreAway": "store away",
    "Degraded": "store degraded",
    "CircuitOpen": "circuit open",
    "BudgetNearEnd": "budget near its end",
    "ErrorShare": "share of errors",
    "LatencyHigh": "99th percentile of latency",
    "LoopLag": "event loop late",
    "QueueDepth": "queue deep",
    "SpoolGrowing": "spool grows",
    "CostAboveDearest": "dearer than always the dearest",
    "PromotionRolledBack": "promotion rolled back",
}


def told(*arguments: str, folder: Path = MONITORING) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - Prometheus' own tool
        [tool("promtool"), *arguments],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


@cache
def literals() -> frozenset[str]:
    """Returns every text that stands in the router's code, and the reasons of its errors."""
    found = set(_reasons(RouterError)) | {"UNKNOWN"}
    for path in [*ROOT.glob("router/**/*.py"), *ROOT.glob("protos/**/*_pb2_grpc.py")]:
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        texts = [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        found |= {part for text in texts for part in text.split("/")}
    return frozenset(found)


def _reasons(kind: type[RouterError]) -> list[str]:
    return [kind.reason, *(r for below in kind.__subclasses__() for r in _reasons(below))]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_names_metrics_labels_and_values_there_are(rule: dict[str, Any]) -> None:
    query = Query(rule["expr"], samples())
    assert query.problems == []
    assert query.metrics
    values = {value for label, value in query.matched if label not in TARGET}
    assert values <= literals()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_tells_how_grave_it_is_since_when_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert re.fullmatch(r"\d+[mh]", rule["for"])
    summary = rule["annotations"]["summary"]
    assert set(LABEL.findall(summary)) <= Query(rule["expr"], samples()).labels
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert f"{page}#" == PAGE
    assert anchor == rule["alert"].lower()


def test_each_has_a_heading_on_the_page_of_monitoring_and_no_other_has() -> None:
    text = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (AdaptiveRouter\w+)$", text, re.MULTILINE)
    assert headings == [rule["alert"] for rule in RULES]


def test_names_are_unique_and_what_an_operator_fears_has_one() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    assert {f"AdaptiveRouter{name}" for name in WANTED} <= set(names)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("rate(adaptive_router_decision_total[5m])", "no metric adaptive_router_decision_total"),
        ("adaptive_router_queue_depth{deployment='x'}", "no label deployment in"),
        ("sum by (plan) (adaptive_router_leader)", "no label plan in an aggregation"),
        ("sum(adaptive_router_leader) / on (plan) sum(adaptive_router_leader)", "no label plan"),
        ("histogram_quantile(0.9, adaptive_router_queue_depth)", "no label le in"),
        ("adaptive_router_stage_seconds", "no metric adaptive_router_stage_seconds"),
    ],
)
def test_the_check_can_fail(query: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in Query(query, samples()).problems)


def test_promtool_takes_the_rules() -> None:
    done = told("check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


def test_rules_fire_when_they_should_and_only_then() -> None:
    done = told("test", "rules", "alerts.test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_fires_in_one_case_and_is_quiet_in_another_look() -> None:
    cases = yaml.safe_load((MONITORING / "alerts.test.yaml").read_text(encoding="utf-8"))["tests"]
    looks = [look for case in cases for look in case["promql_expr_test"]]
    for rule in RULES:
        told = [look for look in looks if f'"{rule["alert"]}"' in look["expr"]]
        assert any(look.get("exp_samples") for look in told), rule["alert"]
        assert rule["alert"] == ABSENT or not all(look.get("exp_samples") for look in told)


def test_a_rule_that_never_fires_is_noticed(tmp_path: Path) -> None:
    text = (MONITORING / "alerts.yaml").read_text(encoding="utf-8")
    weaker = text.replace(
        "adaptive_router_spool_entries[10m])) > 0", "adaptive_router_spool_entries[10m])) > 90"
    )
    assert weaker != text
    (tmp_path / "alerts.yaml").write_text(weaker, encoding="utf-8")
    cases = yaml.safe_load((MONITORING / "alerts.test.yaml").read_text(encoding="utf-8"))
    cases["tests"] = [case for case in cases["tests"] if "spool" in str(case)]
    (tmp_path / "alerts.test.yaml").write_text(yaml.safe_dump(cases), encoding="utf-8")
    done = told("test", "rules", "alerts.test.yaml", folder=tmp_path)
    assert done.returncode == 1
    assert "AdaptiveRouterSpoolGrowing" in done.stdout + done.stderr
