"""LiteLLM's SDK as a client of the HTTP door, in a process of its own: it takes 380 MB."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.e2e.conftest import KEY
from tests.e2e.http_doors import PATIENCE_S, calls, door, says, url
from tests.e2e.wire import Asked, Reply, Wire, on_uvloop

PROGRAM = Path(__file__).with_name("litellm_calls.py")
START_S = 120.0
pytestmark = [
    pytest.mark.skipif(find_spec("litellm") is None, reason="install the extra litellm"),
    pytest.mark.slow,
]


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def answers(asked: Asked) -> Reply:
    return calls(asked) if asked.body.get("tools") else says()(asked)


@on_uvloop
async def test_it_speaks_to_every_dialect(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(answers)) as router:
        env = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "*"}
        pipe = asyncio.subprocess.PIPE
        started = await asyncio.create_subprocess_exec(
            sys.executable, str(PROGRAM), url(router), KEY, stdout=pipe, stderr=pipe, env=env
        )
        try:
            async with asyncio.timeout(START_S + PATIENCE_S):
                out, complaints = await started.communicate()
        finally:
            if started.returncode is None:
                started.kill()
    assert started.returncode == 0, complaints.decode()
    found = json.loads(out.decode().strip().splitlines()[-1])
    for name in ("openai", "anthropic"):
        assert found[f"{name} whole"] == "Forty-two."
        assert found[f"{name} usage"] == [12, 5]
        assert found[f"{name} stream"] == "Forty-two."
        called = [(each[0], json.loads(each[1])) for each in found[f"{name} calls"]]
        assert called == [("weather", {"city": "Paris"}), ("weather", {"city": "Oslo"})]
        assert found[f"{name} key"] == ["AuthenticationError", 401]
        assert found[f"{name} model"] == ["NotFoundError", 404]
    assert found["responses"] == "Forty-two."
