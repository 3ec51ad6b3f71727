"""Runbooks name panels, commands, options and log lines that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from router.cli import main
from router.config import Config

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
RUNBOOKS = TEXT[TEXT.index("## Serving") :]
SHORT = re.compile(r"`(?:adaptive-router )?((?:tenant|policy|check-config)\b[^`.]*)`")
LOGGED = {"internal", "loop_step_hung", "loop_broke", "spool_refused", "learner_failed"}


def test_panels() -> None:
    dashboard = json.loads((ROOT / "deploy" / "monitoring" / "dashboard.json").read_text())
    titles = [panel["title"] for panel in dashboard["panels"]]
    named = {" ".join(name.split()) for name in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", RUNBOOKS)}
    assert len(named) >= 6
    for name in named:
        assert any(title == name or title.startswith(f"{name},") for title in titles), name


def test_commands() -> None:
    named = SHORT.findall(RUNBOOKS)
    assert len(named) >= 5
    for words in named:
        command: click.Command = main
        options = [word for word in words.split() if word.startswith("--")]
        for word in words.split():
            if isinstance(command, click.Group) and not word.startswith("--"):
                command = command.commands[word]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(options) <= known, words


def test_options() -> None:
    named = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", RUNBOOKS)
    assert len(set(named)) >= 12
    schema = Config.model_json_schema()
    for name in named:
        assert _holds(schema, schema, name.split(".")), name


def _holds(schema: dict[str, Any], node: dict[str, Any], path: list[str]) -> bool:
    if "$ref" in node:
        return _holds(schema, schema["$defs"][node["$ref"].rpartition("/")[2]], path)
    if "anyOf" in node:
        return any(_holds(schema, each, path) for each in node["anyOf"])
    first, *rest = path
    below = node.get("properties", {}).get(first)
    return below is not None and (not rest or _holds(schema, below, rest))


def test_log_lines() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("router/**/*.py"))
    for name in LOGGED:
        assert f"`{name}`" in RUNBOOKS
        assert re.search(rf'\.(error|warning)\(\s*"{name}"', code), name


def test_thresholds_follow_the_defaults_they_belong_to() -> None:
    rules = (ROOT / "deploy" / "monitoring" / "alerts.yaml").read_text(encoding="utf-8")
    default = Config.model_json_schema()["$defs"]["RedisSection"]["properties"]["max_events"]
    most = default["default"]
    assert f"(adaptive_router_backlog_events) > {most * 8 // 10}\n" in rules
    assert f"{most * 8 // 10:,} events are not learned yet" in RUNBOOKS
    assert f"`redis.max_events` ({most:,})" in RUNBOOKS
