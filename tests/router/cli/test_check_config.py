"""`check-config`, and what every command does with a config that is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from router.cli import main

Write = Callable[[str], Path]
HEAVY = ("grpc", "httpx", "numpy", "onnxruntime", "redis", "rich", "vowpalwabbit")


def test_check_config_sums_up_a_good_config(write_config: Write) -> None:
    path = write_config("")
    result = CliRunner().invoke(main, ["check-config", str(path)])
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "arm cheap: mini (small)",
        "arm reasoning: big (large)",
        "plan cheap: cheap (typically $0.000200)",
        "plan reasoning: reasoning (typically $0.007200)",
        "plan cheap-then-reasoning: cheap -> reasoning (typically $0.002360)",
        f"{path}: well-formed",
    ]


def test_check_config_warns_of_a_drain_that_cuts_calls_off(write_config: Write) -> None:
    result = CliRunner().invoke(
        main, ["check-config", str(write_config("server: {drain_ms: 5}\n"))]
    )
    assert result.exit_code == 0
    assert "warning: server.drain_ms 5 is shorter" in result.output


def test_check_config_warns_of_what_is_probably_not_meant(write_config: Write) -> None:
    path = write_config("")
    path.write_text(path.read_text().replace("http://127.0.0.1:9/v1", "http://127.0.0.1:9"))
    result = CliRunner().invoke(main, ["check-config", str(path)])
    assert result.exit_code == 0
    (warning,) = [x for x in result.output.splitlines() if x.startswith("warning: ")]
    assert warning.startswith(f"warning: {path}:6: arms.cheap.deployments.0.base_url: add the")


@pytest.mark.parametrize(
    "command",
    [
        ["check-config"],
        ["serve", "--config"],
        ["learner", "--config"],
        ["tenant", "list", "--config"],
        ["tenant", "show", "x", "--config"],
    ],
)
def test_check_config_reports_every_mistake_on_stderr(
    write_config: Write, command: list[str]
) -> None:
    path = write_config("polcy: {}\nserver: {port: -1}\n")
    result = CliRunner().invoke(main, [*command, str(path)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"{path}:17: polcy: no such key: did you mean policy?",
        f"{path}:18: server.port: write a number >= 0",
    ]


def test_check_config_reports_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    result = CliRunner().invoke(main, ["check-config", str(path)])
    assert result.exit_code == 1
    assert result.stderr.strip() == f"{path}: there is no such file"


def test_check_config_names_a_proxy_with_which_serve_would_end(write_config: Write) -> None:
    words = ["check-config", str(write_config(""))]
    env = {"https_proxy": "socks5://me:secret@127.0.0.1:1", "no_proxy": ""}
    result = CliRunner().invoke(main, words, env=env)
    assert result.exit_code == 1
    assert "providers.proxy: here or in the environment" in result.stderr
    assert "SOCKS is not spoken" in result.stderr
    assert "secret" not in result.output


def test_help_imports_no_heavy_module() -> None:
    names = ", ".join(map(repr, HEAVY))
    code = f"import sys, router.cli; print([m for m in ({names}) if m in sys.modules])"
    told = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout.strip() == "[]"
