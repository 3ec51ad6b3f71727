"""The manifests as kubectl builds them."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
BUILDS = ("base", "overlays/example")


@dataclass(frozen=True)
class Manifests:
    """The documents that one kustomization builds."""

    documents: list[dict[str, Any]]

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [d for d in self.documents if d["kind"] == kind]

    def one(self, kind: str, name: str) -> dict[str, Any]:
        """Find a document by its name, to which kustomize may have added a hash."""
        pattern = re.compile(rf"{name}(-[a-z0-9]{{10}})?")
        (found,) = (d for d in self.all(kind) if pattern.fullmatch(d["metadata"]["name"]))
        return found

    def workload(self, component: str) -> dict[str, Any]:
        name = {"router": "adaptive-router", "learner": "adaptive-router-learner"}[component]
        return self.one("Deployment", name)

    def workloads(self) -> list[dict[str, Any]]:
        return self.all("Deployment") + self.all("StatefulSet")

    def secret(self, name: str = "adaptive-router-keys") -> dict[str, str]:
        found = self.one("Secret", name)
        data = {k: base64.b64decode(v).decode() for k, v in found.get("data", {}).items()}
        return data | found.get("stringData", {})

    def router_yaml(self) -> str:
        return str(self.one("ConfigMap", "adaptive-router-config")["data"]["router.yaml"])


def kubectl() -> str:
    """The one of this virtual environment, else the machine's."""
    own = Path(sys.executable).parent / "kubectl"
    found = str(own) if own.exists() else shutil.which("kubectl")
    assert found, "no kubectl: install the `dev` extra"
    return found


def built(folder: Path) -> Manifests:
    done = subprocess.run(  # noqa: S603 - our own folders
        [kubectl(), "kustomize", str(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return Manifests([d for d in yaml.safe_load_all(done.stdout) if d])


@pytest.fixture(scope="session", params=BUILDS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    return built(DEPLOY / request.param)


@pytest.fixture
def rendered(tmp_path: Path) -> Callable[[str, dict[str, str]], Manifests]:
    """Builds a kustomization of a copy of deploy/, some files of which hold another text."""

    def render(kustomization: str, written: dict[str, str]) -> Manifests:
        copied = tmp_path / f"deploy-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(DEPLOY, copied)
        for name, text in written.items():
            (copied / name).parent.mkdir(parents=True, exist_ok=True)
            (copied / name).write_text(text)
        return built(copied / kustomization)

    return render
