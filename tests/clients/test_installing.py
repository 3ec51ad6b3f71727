"""The client, installed from its own folder into bare environments, against a whole router."""

from __future__ import annotations

import re
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

from tests.e2e.conftest import KEY, Router
from tests.e2e.test_examples import finished

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "python"
EXAMPLES = ROOT / "examples" / "python"
LISTED = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]["dependencies"]
OLDEST = tuple(line.partition(",")[0].replace(">=", "==") for line in LISTED)
BEFORE = tuple(re.sub(r"<(\d+)", lambda found: f"<{int(found[1]) - 1}", line) for line in LISTED)
MAY_BE_THERE = {"adaptive_router_client", "grpcio", "protobuf", "typing_extensions"}
MOST_OWN_BYTES = 500_000


@pytest.fixture
def learns() -> bool:
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    "versions",
    [OLDEST, ("grpcio", BEFORE[1]), ("grpcio", "protobuf")],
    ids=["oldest", "before the newest protobuf", "newest"],
)
async def test_it_installs_alone_and_answers(
    router: Router, tmp_path: Path, versions: tuple[str, ...]
) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = str(tmp_path / "venv" / "bin" / "python")
    install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    words = (*install, "--only-binary", "grpcio,protobuf", str(CLIENT), *versions)
    code, out = await finished(*words, cwd=tmp_path, PYTHONPATH="")
    if "No matching distribution found for grpcio" in out and versions is OLDEST:
        pytest.skip(f"no binary of {OLDEST[0]} for Python {sysconfig.get_python_version()}")
    assert code == 0, out
    target = {"ROUTER": f"127.0.0.1:{router.port}", "ROUTER_KEY": KEY, "PYTHONPATH": ""}
    for name, wanted in (
        ("complete", r"Forty-two\.\n\S+: 50 tokens"),
        ("decide", r"charged 0\.0\d+ USD"),
        ("agent", "3 decisions share the credit"),
    ):
        script = str(EXAMPLES / f"{name}.py")
        code, out = await finished(python, "-W", "error", script, cwd=tmp_path, **target)
        assert code == 0, out
        assert re.search(wanted, out)
    there = next((tmp_path / "venv" / "lib").glob("*/site-packages"))
    names = {found.name.partition("-")[0] for found in there.glob("*.dist-info")}
    assert names <= MAY_BE_THERE
    own = there / "adaptive_router_client"
    assert (own / "py.typed").exists()
    assert sum(file.stat().st_size for file in own.rglob("*")) < MOST_OWN_BYTES
