"""A router, its learner and its tools ask nobody but whom the config names."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNSHARE = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
FOLDERS = ("home", "tmp", "cwd", "site")


def alone(folder: Path, mode: str, model_dir: Path) -> dict[str, list[str]]:
    """Run in a network of its own, with a home that nothing has touched."""
    for name in FOLDERS:
        (folder / name).mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "ORT_", "HF_"))}
    env |= {
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "protos"))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ADAPTIVE_ROUTER_MODEL_DIR": str(model_dir),
    }
    script = [sys.executable, str(ROOT / "tests/alone.py"), str(folder / "site"), mode]
    done = subprocess.run(  # noqa: S603 - our own script
        [*UNSHARE, *script],
        cwd=folder / "cwd",
        env=env,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.fixture(autouse=True)
def _permitted() -> None:
    if not all(map(shutil.which, ("unshare", "ip"))):
        pytest.skip("no unshare or ip on this machine")
    if subprocess.run([*UNSHARE, "ip", "link"], check=False, capture_output=True).returncode:  # noqa: S603
        pytest.skip("no network namespace may be made here")


def test_what_nobody_configured_would_be_seen(tmp_path: Path, model_dir: Path) -> None:
    told = alone(tmp_path, "control", model_dir)
    assert any(name.startswith("telemetry.example") for name in told["names"])
    assert {"203.0.113.7", "198.51.100.9"} <= set(told["addresses"])


def test_nobody_is_asked_and_nothing_is_left_outside_the_configured_folders(
    tmp_path: Path, model_dir: Path
) -> None:
    assert alone(tmp_path, "service", model_dir) == {"names": [], "addresses": []}
    left = {name: list((tmp_path / name).rglob("*")) for name in ("home", "tmp", "cwd")}
    assert not any(left.values()), left
    assert {path.name for path in (tmp_path / "site").iterdir()} == {
        "archive",
        "redis",
        "router.yaml",
    }


@pytest.mark.parametrize(
    "module",
    [
        "router.app.server",
        "router.app.learner",
        "router.tools.train.run",
        "router.tools.map.run",
        "router.tools.calibrate.run",
        "router.tools.evaluate.run",
        "bench.load.overhead",
        "demo.setup",
    ],
)
def test_telemetry_is_off_before_the_model_s_runtime_is_imported(module: str) -> None:
    """Whatever an import does first: a hook looks at the moment."""
    code = f"""
import os, sys
class Look:
    def find_spec(self, name, *_):
        if name == "onnxruntime":
            assert os.environ.get("ORT_DISABLE_TELEMETRY") == "1"
            print("looked")
sys.meta_path.insert(0, Look())
import {module}
from router.adapters.embedding import bge
"""
    env = {k: v for k, v in os.environ.items() if not k.startswith("ORT_")}
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], cwd=ROOT, env=env, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["looked"]


def test_one_module_alone_imports_the_models_runtime() -> None:
    """The package around it turns telemetry off, so that no other way leads to it."""
    wanted = re.compile(r"^\s*(import|from) onnxruntime\b", re.MULTILINE)
    rooms = ("router", "bandit", "bench", "demo", "examples", "scripts")
    files = [path for room in rooms for path in (ROOT / room).rglob("*") if path.is_file()]
    found = [
        path for path in files if path.suffix in {"", ".py"} and wanted.search(path.read_text())
    ]
    assert found == [ROOT / "router/adapters/embedding/bge.py"]
