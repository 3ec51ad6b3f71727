"""Listings as JSON, the config by its variable, completion of the shell: what scripts rely on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from router.cli import main
from router.tools.options import CONFIG_VARIABLE
from tests.frozen.test_frozen import commands
from tests.router.cli.test_tenants import created

Write = Callable[[str], Path]
LIMITS = {"requests_per_minute", "tokens_per_minute", "daily_usd", "monthly_usd", "degraded"}
LIMITS |= {"arms", "observe", "evidence"}


def told(config: Path, *words: str) -> dict[str, Any]:
    done = CliRunner().invoke(main, [*words, "--json"], env={CONFIG_VARIABLE: str(config)})
    assert done.exit_code == 0, done.output
    assert done.stdout.count("\n") == 1
    return dict(json.loads(done.stdout))


def test_tenants(config: Path) -> None:
    created(config, "team-b")
    created(config, "team-a", "--daily-usd", "1.5", "--arm", "cheap", "--requests-per-minute", "6")
    both = told(config, "tenant", "list")
    assert set(both) == {"tenants"}
    assert all(set(each) == {"name", *LIMITS} for each in both["tenants"])
    limited, free = both["tenants"]
    assert (limited["name"], limited["daily_usd"], limited["arms"]) == ("team-a", 1.5, ["cheap"])
    assert (limited["requests_per_minute"], limited["monthly_usd"]) == (6, None)
    assert {free[name] for name in LIMITS - {"arms"}} == {None}
    assert free["arms"] is None
    assert told(config, "tenant", "show", "team-a") == limited


def test_usage(config: Path) -> None:
    created(config, "team-a", "--daily-usd", "1.5")
    used = told(config, "tenant", "usage", "team-a")
    assert list(used) == [
        *("name", "spent_daily_usd", "spent_monthly_usd", "reserved_usd", "daily_usd"),
        *("daily_usd_left", "monthly_usd", "monthly_usd_left", "requests_daily"),
        *("requests_monthly", "requests_per_minute", "requests_left", "tokens_per_minute"),
        *("tokens_left", "reservations", "orphans", "orphaned_usd"),
    ]
    assert (used["daily_usd_left"], used["requests_daily"], used["monthly_usd"]) == (1.5, 0, None)


def test_policies(config: Path) -> None:
    config.write_text(config.read_text() + "challengers: {lin: {name: linucb}}\n")
    found = told(config, "policy", "list")
    assert found == {
        "champion": "policy",
        "previous": None,
        "snapshot_version": 0,
        "policies": [
            {"name": "policy", "policy": "adaptive", "role": "serves", "gain": None},
            {
                "name": "lin",
                "policy": "linucb",
                "role": "learns",
                "gain": {"mean": 0.0, "low": None, "high": None, "events": 0, "effective": 0.0},
            },
        ],
        "changes": [],
    }


def test_a_checked_config(config: Path) -> None:
    found = told(config, "check-config")
    assert set(found) == {
        *("file", "well_formed", "arms", "plans", "challengers", "warnings", "probes"),
    }
    assert (found["file"], found["well_formed"], found["probes"]) == (str(config), True, {})
    assert found["arms"][0] == {
        "name": "cheap",
        "deployments": [{"name": "mini", "model": "small"}],
    }
    assert found["plans"][0] == {
        "name": "cheap",
        "rungs": ["cheap"],
        "gate": None,
        "second": None,
        "typical_usd": 0.0002,
    }
    probed = told(config, "check-config", "--only", "store")["probes"]
    assert [one["state"] for one in probed["store"]] == ["ok"]


def test_a_config_with_mistakes(write_config: Write) -> None:
    path = write_config("servr: {}\nserver: {port: x}\n")
    done = CliRunner().invoke(main, ["check-config", str(path), "--json"])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["well_formed"] is False
    assert [(one["key"], one["line"]) for one in found["mistakes"]] == [
        ("servr", 17),
        ("server.port", 18),
    ]
    assert "did you mean server" in found["mistakes"][0]["fix"]


def every_option() -> list[tuple[tuple[str, ...], click.Parameter]]:
    found = []
    for path in commands(main):
        command: Any = main
        for word in path:
            command = command.commands[word]
        found += [(path, p) for p in command.params if p.name == "config_path"]
    return found


def test_every_config_may_be_named_by_the_variable() -> None:
    assert len(every_option()) > 20
    for path, option in every_option():
        assert option.envvar == CONFIG_VARIABLE, path
        assert option.show_envvar, path  # type: ignore[attr-defined]  # of options


def test_what_is_written_is_stronger_than_the_variable(config: Path, tmp_path: Path) -> None:
    wrong = {CONFIG_VARIABLE: str(tmp_path / "none.yaml")}
    words = ["tenant", "list", "--json"]
    runner = CliRunner()
    assert runner.invoke(main, words, env=wrong).exit_code == 1
    assert runner.invoke(main, [*words, "--config", str(config)], env=wrong).exit_code == 0
    missing = runner.invoke(main, words, env={CONFIG_VARIABLE: ""})
    assert missing.exit_code == 2
    assert "Missing option '--config'" in missing.stderr


@pytest.mark.parametrize(
    ("shell", "words", "expected"),
    [
        ("bash", "adaptive-router ten", "tenant"),
        ("bash", "adaptive-router tenant key re", "revoke"),
        ("zsh", "adaptive-router tenant usage --j", "--json"),
        ("fish", "adaptive-router exp", "explain"),
    ],
)
def test_shells_complete_commands_and_options(shell: str, words: str, expected: str) -> None:
    last = len(words.split()) - 1
    place = {"COMP_WORDS": words, "COMP_CWORD": str(last)}
    if shell == "fish":
        place = {"COMP_WORDS": words, "COMP_CWORD": words.rsplit(maxsplit=1)[-1]}
    env = os.environ | place | {"_ADAPTIVE_ROUTER_COMPLETE": f"{shell}_complete"}
    code = "from router.cli import main; main(prog_name='adaptive-router')"
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", code],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert expected in re.split(r"[,\t\n]", done.stdout)
