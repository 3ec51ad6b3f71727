"""Whose an embedded store is: told to the router of another config."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from router.app.store_claim import FILE, StoreClaim
from router.domain.errors import StoreTaken, StoreUnwritable

HOLD = """
import sys
from pathlib import Path
from router.app.store_claim import StoreClaim
with StoreClaim(Path(sys.argv[1]), Path(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_processes_of_one_config_share_the_claim(tmp_path: Path) -> None:
    with StoreClaim(tmp_path, tmp_path / "a.yaml"), StoreClaim(tmp_path, tmp_path / "a.yaml"):
        told = json.loads((tmp_path / FILE).read_text())
        assert told == {"pid": os.getpid(), "config": str(tmp_path / "a.yaml")}


def test_another_config_is_told_who_has_it_until_that_one_ends(tmp_path: Path) -> None:
    ours, other = tmp_path / "ours.yaml", tmp_path / "theirs.yaml"
    with subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", HOLD, str(tmp_path), str(other)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for _ in range(2):
            with pytest.raises(StoreTaken) as caught, StoreClaim(tmp_path, ours):
                pass
        for part in (str(tmp_path), str(holder.pid), str(other), "redis.embedded.data_dir"):
            assert part in caught.value.message
        holder.kill()
    with structlog.testing.capture_logs() as lines, StoreClaim(tmp_path, ours):
        pass
    assert [(line["event"], line["earlier"]) for line in lines] == [
        ("store_of_another_config", str(other))
    ]
    with structlog.testing.capture_logs() as lines, StoreClaim(tmp_path, ours):
        pass
    assert lines == []


def test_a_damaged_claim_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    with StoreClaim(tmp_path, tmp_path / "a.yaml"):
        assert json.loads((tmp_path / FILE).read_text())["pid"] == os.getpid()


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnwritable, match="gone"), StoreClaim(tmp_path / "gone", tmp_path):
        pass
