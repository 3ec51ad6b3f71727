"""The commands of the documentation are run as they are written."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from tests.e2e.conftest import KEY, Router
from tests.e2e.http_doors import PATIENCE_S, door, says, url
from tests.e2e.wire import Wire, on_uvloop

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
PLACE = "http://127.0.0.1:8080"
PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/feedback", "/v1/decisions/$ID/outcome")
PRELUDE = 'set -eu\ncurl() { command curl --silent --show-error --fail-with-body "$@"; echo; }\n'


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@on_uvloop
async def test_every_curl_command_is_answered(tmp_path: Path) -> None:
    commands = "".join(BLOCKS)
    asked = [path for path in PATHS if f"{PLACE}{path}" in commands]
    assert asked == list(PATHS)
    async with door(tmp_path, Wire(says())) as router:
        out = await _run(router, commands, tmp_path)
    assert out.count('"Forty-two."') == 2
    assert out.count('"already_recorded":false') == 3


async def _run(router: Router, commands: str, folder: Path) -> str:
    """Returns what they print. A command that is refused ends the test with its answer."""
    script = PRELUDE + commands.replace(PLACE, url(router))
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        script,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "KEY": KEY},
        stdout=PIPE,
        stderr=STDOUT,
    )
    async with asyncio.timeout(PATIENCE_S):
        out, _ = await shell.communicate()
    assert shell.returncode == 0, out.decode()
    return out.decode()
