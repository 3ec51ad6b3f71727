"""The image is sound as far as can be told without building it."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.adapters.embedding.files import MODEL_DIR_VARIABLE
from router.config.schema import ServerSection

ROOT = Path(__file__).parents[2]
Step = tuple[str, str]


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    """(instruction, rest) of every step, continued lines joined."""
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(word, rest) for word, rest in (line.split(" ", 1) for line in joined)]


@pytest.fixture(scope="module")
def final(steps: list[Step]) -> list[Step]:
    """The steps of the last stage: what is shipped."""
    last = max(index for index, (word, _) in enumerate(steps) if word == "FROM")
    return steps[last:]


def rest_of(steps: list[Step], wanted: str) -> list[str]:
    return [rest for word, rest in steps if word == wanted]


def test_every_stage_starts_from_one_pinned_slim_python(steps: list[Step]) -> None:
    base = dict(arg.split("=", 1) for arg in rest_of(steps, "ARG") if "=" in arg)["PYTHON"]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", base)
    assert {rest.split(" ", 1)[0] for rest in rest_of(steps, "FROM")} == {"${PYTHON}"}


def test_it_does_not_run_as_root_and_as_the_user_of_the_manifests(
    final: list[Step], manifests: Any
) -> None:
    (user,) = rest_of(final, "USER")
    assert final.index(("USER", user)) > max(
        i for i, (word, _) in enumerate(final) if word == "RUN"
    )
    for component in ("router", "learner"):
        context = manifests.workload(component)["spec"]["template"]["spec"]["securityContext"]
        assert user == f"{context['runAsUser']}:{context['runAsGroup']}"


def test_the_model_is_baked_in_where_the_service_looks(
    steps: list[Step], final: list[Step]
) -> None:
    (baked,) = (run for run in rest_of(steps, "RUN") if "adaptive-router fetch-model" in run)
    folder = baked.split()[-1]
    assert f"--from=build {folder} {folder}" in rest_of(final, "COPY")
    assert any(f"{MODEL_DIR_VARIABLE}={folder}" in env.split() for env in rest_of(final, "ENV"))


def test_it_starts_a_script_that_the_package_installs(final: list[Step]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (entry,) = rest_of(final, "ENTRYPOINT")
    assert entry == f'["{next(iter(project["scripts"]))}"]'


def test_it_exposes_the_default_ports_and_the_http_door_of_the_manifests(
    final: list[Step],
) -> None:
    server = ServerSection()
    mounted = yaml.safe_load((ROOT / "deploy" / "base" / "router.yaml").read_text())["server"]
    exposed = f"{server.port} {mounted['http_port']} {server.metrics_port}"
    assert rest_of(final, "EXPOSE") == [exposed]


def test_dependencies_are_installed_by_their_hashes_alone(steps: list[Step]) -> None:
    installs = [run for run in rest_of(steps, "RUN") if "pip install" in run]
    for install in installs:
        assert "--require-hashes -r deploy/" in install or "--no-index --no-deps" in install
    named = set(re.findall(r"deploy/\S+\.lock", " ".join(installs)))
    assert named == {f"deploy/{path.name}" for path in (ROOT / "deploy").glob("*.lock")}
    assert any("pip check" in run for run in rest_of(steps, "RUN"))


def test_everything_copied_is_there_and_not_ignored(steps: list[Step]) -> None:
    text = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    everything, *rules = text.split()
    assert everything == "*"
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = [c.split()[:-1] for c in rest_of(steps, "COPY") if not c.startswith("--from")]
    sources = {source for group in copied for source in group}
    assert sources == kept
    assert all((ROOT / source).exists() for source in sources)
    dropped = [rule for rule in rules if not rule.startswith("!")]
    assert any(fnmatch("router/serving/__pycache__", rule) for rule in dropped)


def test_the_wheel_holds_what_the_image_copies(steps: list[Step]) -> None:
    """A package that pyproject leaves out would be missing from the image only."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = " ".join(rest_of(steps, "COPY")).split()
    assert {package.split("/", 1)[0] for package in packages} <= set(copied)
