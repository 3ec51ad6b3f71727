"""The scripts that make prompts and fit a context map."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bandit import ContextMap

ROOT = Path(__file__).parents[3]


def run(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / script), *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own script


def test_prompts_are_varied_and_seeded() -> None:
    first, again, other = (run("make_prompts", "200", seed).stdout for seed in ("1", "1", "2"))
    prompts = [json.loads(line) for line in first.splitlines()]
    assert len(prompts) == 200
    assert len(set(prompts)) > 150
    assert not any("{name}" in prompt or "{n}" in prompt for prompt in prompts)
    assert first == again != other


@pytest.mark.usefixtures("model_dir")
@pytest.mark.slow
def test_a_map_is_fitted_to_any_list_of_prompts(tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.jsonl", tmp_path / "map.npz"
    prompts.write_text(run("make_prompts", "330").stdout, encoding="utf-8")
    done = run("fit_context", str(prompts), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert ContextMap.load(out).version in done.stdout


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "No such file"), ("{}\n", "list of prompts"), ("[1\n", "list of prompts")],
)
def test_what_is_no_list_of_prompts_is_refused(
    tmp_path: Path, content: str | None, says: str
) -> None:
    prompts, out = tmp_path / "prompts.jsonl", tmp_path / "map.npz"
    if content is not None:
        prompts.write_text(content, encoding="utf-8")
    done = run("fit_context", str(prompts), "--out", str(out))
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
