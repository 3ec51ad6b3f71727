"""The client, installed from its own folder into bare environments, against a whole router."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from tests.e2e.conftest import KEY, Router
from tests.e2e.test_examples import finished

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "python"
EXAMPLES = ROOT / "examples" / "python"
REFUSED = Path(__file__).parent / "refused.py"
LISTED = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]["dependencies"]
OLDEST = tuple(line.partition(",")[0].replace(">=", "==") for line in LISTED)
BEFORE = tuple(re.sub(r"<(\d+)", lambda found: f"<{int(found[1]) - 1}", line) for line in LISTED)
MAY_BE_THERE = {"adaptive_router_client", "grpcio", "protobuf", "typing_extensions"}
MOST_OWN_BYTES = 500_000


@pytest.fixture
def learns() -> bool:
    return False


OTHER_PYTHONS = ("3.12", "3.13", "3.14")
FIRST_BINARIES = {"3.13": "grpcio==1.66.2", "3.14": "grpcio==1.75.1"}
"""The oldest grpcio with a binary, where that is newer than the oldest that the client takes."""
WARNINGS = "-W", "error", "-W", "ignore:Type google._upb"
"""protobuf 5.26 itself is warned of by Python 3.12 and newer."""
OWN = sysconfig.get_python_version()
CASES = (
    pytest.param(OWN, OLDEST, id="oldest"),
    pytest.param(OWN, ("grpcio", BEFORE[1]), id="before the newest protobuf"),
    pytest.param(OWN, ("grpcio", "protobuf"), id="newest"),
    *(
        pytest.param(version, versions, id=f"{name} on {version}")
        for version in OTHER_PYTHONS
        if version != OWN
        for name, versions in (
            ("oldest", (FIRST_BINARIES.get(version, OLDEST[0]), OLDEST[1])),
            ("newest", ("grpcio", "protobuf")),
        )
    ),
)


PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")


def pythons(version: str) -> list[str]:
    """Returns where that version may be: on the path, or among pyenv's."""
    kept = sorted(PYENV.glob(f"versions/{version}.*/bin/python"))
    return [found for found in (shutil.which(f"python{version}"), *map(str, kept)) if found]


async def python_of(version: str) -> str | None:
    for each in [sys.executable] if version == OWN else pythons(version):
        # What is on the path may be a stand-in for a version that is not there.
        if (await finished(each, "-c", ""))[0] == 0:
            return each
    return None


@pytest.mark.slow
@pytest.mark.parametrize(("version", "versions"), CASES)
async def test_it_installs_alone_and_answers(
    router: Router, tmp_path: Path, version: str, versions: tuple[str, ...]
) -> None:
    found = await python_of(version)
    if found is None:
        pytest.skip(f"no Python {version} is installed")
    code, out = await finished(found, "-m", "venv", "--without-pip", str(tmp_path / "venv"))
    assert code == 0, out
    python = str(tmp_path / "venv" / "bin" / "python")
    install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    words = (*install, "--only-binary", "grpcio,protobuf", str(CLIENT), *versions)
    code, out = await finished(*words, cwd=tmp_path, PYTHONPATH="")
    if "No matching distribution found for grpcio" in out and versions is OLDEST:
        pytest.skip(f"no binary of {OLDEST[0]} for Python {version}")
    assert code == 0, out
    target = {"ROUTER": f"127.0.0.1:{router.port}", "ROUTER_KEY": KEY, "PYTHONPATH": ""}
    for name, wanted in (
        ("complete", r"Forty-two\.\n\S+: 50 tokens"),
        ("decide", r"charged 0\.0\d+ USD"),
        ("agent", "3 decisions share the credit"),
    ):
        script = str(EXAMPLES / f"{name}.py")
        code, out = await finished(python, *WARNINGS, script, cwd=tmp_path, **target)
        assert code == 0, out
        assert re.search(wanted, out)
    for implementation in ("upb", "python"):
        target["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = implementation
        code, out = await finished(python, *WARNINGS, str(REFUSED), cwd=tmp_path, **target)
        assert (code, out) == (0, "every error is of the tree\n")
    there = next((tmp_path / "venv" / "lib").glob("*/site-packages"))
    names = {found.name.partition("-")[0] for found in there.glob("*.dist-info")}
    assert names <= MAY_BE_THERE
    own = there / "adaptive_router_client"
    assert (own / "py.typed").exists()
    assert sum(file.stat().st_size for file in own.rglob("*")) < MOST_OWN_BYTES
