"""The examples do what the documentation says of them, against a real router."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import KEY, Router

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
BUILD_S = 240
AWAY = re.compile(
    r"code (E40[134]|ENOTFOUND|EAI_AGAIN|ECONN\w+|ENETUNREACH|ETIMEDOUT|ENOTCACHED)\b"
)
"""npm could not reach a registry, or was not given a package."""


@pytest.fixture
def learns() -> bool:
    return False


async def test_python_caller_gets_an_answer_and_a_stream(router: Router) -> None:
    out = await ran(router, sys.executable, str(EXAMPLES / "python" / "complete.py"))
    assert re.search(r"\w+ for 0\.0\d+ USD: Forty-two\.", out)
    assert "cheap-then-reasoning: probability" in out
    assert re.search(r"Forty-two\.\n\S+: 50 tokens", out)


async def test_python_caller_decides_and_reports(router: Router) -> None:
    out = await ran(router, sys.executable, str(EXAMPLES / "python" / "decide.py"))
    assert re.search(r"call \w+ \(\w+-1\)\ncharged 0\.0\d+ USD", out)


async def test_python_agent_says_at_the_end_whether_it_was_solved(router: Router) -> None:
    out = await ran(router, sys.executable, str(EXAMPLES / "python" / "agent.py"))
    assert re.search(r"^3 decisions share the credit$", out)


@pytest.mark.skipif(shutil.which("go") is None, reason="go is not installed")
async def test_go_caller_gets_an_answer_and_a_stream(router: Router, tmp_path: Path) -> None:
    folder = tmp_path / "go"
    shutil.copytree(EXAMPLES / "go", folder, ignore=shutil.ignore_patterns("bin", "routerv1"))
    if (await finished("go", "mod", "download", cwd=folder))[0]:
        pytest.skip("go cannot fetch its modules here")
    environment = {"PROTOS": str(ROOT / "protos"), "PYTHON": sys.executable}
    for words in (("./generate",), ("go", "build", "-o", "caller", ".")):
        code, out = await finished(*words, cwd=folder, **environment)
        assert code == 0, out
    out = await ran(router, str(folder / "caller"))
    assert re.search(r"\w+ for 0\.0\d+ USD: Forty-two\.\nForty-two\.\n\S+: 50 tokens", out)
    assert "2 decisions share the credit" in out


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
async def test_typescript_caller_gets_an_answer_and_a_stream(
    router: Router, tmp_path: Path
) -> None:
    folder = tmp_path / "typescript"
    made = shutil.ignore_patterns("node_modules", "generated", "dist")
    shutil.copytree(EXAMPLES / "typescript", folder, ignore=made)
    code, out = await finished("npm", "ci", "--ignore-scripts", "--no-audit", cwd=folder)
    if code and AWAY.search(out):
        pytest.skip("npm cannot fetch its packages here")
    assert code == 0, out
    protos = {"PROTOS": str(ROOT / "protos")}
    code, out = await finished("npm", "run", "build", cwd=folder, **protos)
    assert code == 0, out
    out = await ran(router, "node", str(folder / "dist" / "main.js"), **protos)
    assert re.search(r"\w+ for 0\.0\d+ USD: Forty-two\.\nForty-two\.\n\S+: 50 tokens", out)
    assert "2 decisions share the credit" in out


async def ran(router: Router, *words: str, **environment: str) -> str:
    target = {"ROUTER": f"127.0.0.1:{router.port}", "ROUTER_KEY": KEY}
    code, out = await finished(*words, **target, **environment)
    assert code == 0, out
    return out


async def finished(*words: str, cwd: Path | None = None, **environment: str) -> tuple[int, str]:
    """Exit status and output."""
    folders = (ROOT, ROOT / "protos", ROOT / "clients" / "python" / "src")
    path = os.pathsep.join(map(str, folders))
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(BUILD_S):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode()
