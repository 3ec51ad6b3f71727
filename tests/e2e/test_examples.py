"""The examples do what the documentation says of them, against a real router."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from adaptive_router.v1 import router_pb2

from router.domain import errors
from tests.clients.scripted import answer, done, serving, text_of
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
    for _ in range(2):  # and again, as a reader does
        out = await ran(router, sys.executable, str(EXAMPLES / "python" / "agent.py"))
        assert re.search(r"^3 decisions share the credit$", out)


Caller = Callable[..., Awaitable[tuple[int, str]]]
WITHOUT_GO = pytest.mark.skipif(shutil.which("go") is None, reason="go is not installed")
WITHOUT_NPM = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
SAID = re.compile(r"\w+ for 0\.0\d+ USD: Forty-two\.\nForty-two\.\n\S+: 50 tokens")


@pytest.fixture(scope="module")
def go_caller(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    folder = tmp_path_factory.mktemp("examples") / "go"
    shutil.copytree(EXAMPLES / "go", folder, ignore=shutil.ignore_patterns("bin", "routerv1"))
    if asyncio.run(finished("go", "mod", "download", cwd=folder))[0]:
        pytest.skip("go cannot fetch its modules here")
    environment = {"PROTOS": str(ROOT / "protos"), "PYTHON": sys.executable}
    for words in (("./generate",), ("go", "vet", "."), ("go", "build", "-o", "caller", ".")):
        code, out = asyncio.run(finished(*words, cwd=folder, **environment))
        assert code == 0, out
    return partial(finished, str(folder / "caller"))


@pytest.fixture(scope="module")
def typescript_caller(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    folder = tmp_path_factory.mktemp("examples") / "typescript"
    made = shutil.ignore_patterns("node_modules", "generated", "dist")
    shutil.copytree(EXAMPLES / "typescript", folder, ignore=made)
    words = ("npm", "ci", "--ignore-scripts", "--no-audit")
    code, out = asyncio.run(finished(*words, cwd=folder))
    if code and AWAY.search(out):
        pytest.skip("npm cannot fetch its packages here")
    assert code == 0, out
    protos = {"PROTOS": str(ROOT / "protos")}
    code, out = asyncio.run(finished("npm", "run", "build", cwd=folder, **protos))
    assert code == 0, out
    return partial(finished, "node", str(folder / "dist" / "main.js"), **protos)


@pytest.fixture(
    params=[
        pytest.param("go_caller", marks=WITHOUT_GO),
        pytest.param("typescript_caller", marks=[WITHOUT_NPM, pytest.mark.slow]),
    ]
)
def caller(request: pytest.FixtureRequest) -> Caller:
    made: Caller = request.getfixturevalue(request.param)
    return made


async def test_other_languages_get_an_answer_and_a_stream(router: Router, caller: Caller) -> None:
    target = {"ROUTER": f"127.0.0.1:{router.port}", "ROUTER_KEY": KEY}
    for _ in range(2):  # and again, as a reader does
        code, out = await caller(**target)
        assert code == 0, out
        assert SAID.search(out)
        assert "2 decisions share the credit" in out


CREDITED = router_pb2.FeedbackResponse(decisions=2)
STREAMED = (text_of("yes"), done())


async def test_other_languages_send_again_what_passes_with_the_same_key(caller: Caller) -> None:
    wait_ms = 50
    steps = (
        errors.Overloaded("busy", retry_after_ms=wait_ms),
        errors.AllAttemptsFailed("none", retry_after_ms=wait_ms),
        grpc.StatusCode.UNAVAILABLE,
        answer("Forty-two."),
        errors.StorageUnavailable("away", retry_after_ms=wait_ms),
        CREDITED,
        STREAMED,
        errors.QuotaExceeded("much", quota="q", subject="t", retry_after_ms=wait_ms),
        answer(),
        answer(),
        CREDITED,
    )
    async with serving(*steps) as script:
        code, out = await caller(ROUTER=f"127.0.0.1:{script.port}", ROUTER_KEY=KEY)
        assert code == 0, out
        assert "2 decisions share the credit" in out
        assert len(script.asked) == len(steps)
    keys = [each.routing.idempotency_key for each in script.asked[:4]]
    assert len(set(keys)) == 1
    assert len(keys[0]) >= 16
    turns = [each.routing.idempotency_key for each in script.asked[7:10]]
    assert turns[0] == turns[1] != turns[2]


@pytest.mark.parametrize(
    "refusal",
    [
        errors.RequestRefused("no"),
        errors.QuotaExceeded("much", quota="q", subject="t", retry_after_ms=None),
    ],
    ids=lambda refusal: refusal.reason,
)
async def test_other_languages_name_the_reason_and_stop(caller: Caller, refusal: Any) -> None:
    async with serving(refusal) as script:
        code, out = await caller(ROUTER=f"127.0.0.1:{script.port}", ROUTER_KEY=KEY)
        assert code == 1
        assert f"{refusal.reason}: " in out
        assert len(script.asked) == 1


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
