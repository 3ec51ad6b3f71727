"""The contract keeps the rules of protos/buf.yaml, and a breach of one is found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROTOS = Path(__file__).parents[3] / "protos"
SERVICE = "adaptive_router/v1/router.proto"


def buf(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("buf"), *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - a linter


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A copy of the contract to change."""
    names = shutil.ignore_patterns("*.py", "*.pyi", "__pycache__")
    return shutil.copytree(PROTOS, tmp_path / "protos", ignore=names)


def change(protos: Path, old: str, new: str) -> None:
    file = protos / SERVICE
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_the_contract_keeps_the_rules() -> None:
    done = buf("lint", PROTOS)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize(
    ("old", "new", "breach"),
    [
        ("string decision_id", "string decisionId", "should be lower_snake_case"),
        ("rpc Feedback(FeedbackRequest)", "rpc Feedback(CompleteRequest)", "should be named"),
        ("STEP_UNSPECIFIED", "STEP_NONE", "should be suffixed with"),
        ("service RouterService", "service Router", "should be suffixed with"),
        (
            "\nservice RouterService",
            "\nmessage Bare {}\nservice RouterService",
            "non-empty comment",
        ),
    ],
)
def test_a_breach_of_a_rule_is_found(changed: Path, old: str, new: str, breach: str) -> None:
    change(changed, old, new)
    done = buf("lint", changed)
    assert done.returncode != 0
    assert breach in done.stdout


def test_a_field_that_is_taken_out_breaks_the_contract(changed: Path) -> None:
    assert buf("breaking", changed, "--against", PROTOS).returncode == 0
    change(changed, "string decision_id = 1;", "reserved 1;")
    done = buf("breaking", changed, "--against", PROTOS)
    assert done.returncode != 0
    assert 'name "decision_id"' in done.stdout


def test_protos_that_do_not_compile_are_no_pass(tmp_path: Path) -> None:
    (tmp_path / "a.proto").write_text("syntax =", encoding="utf-8")
    assert buf("lint", tmp_path).returncode != 0
