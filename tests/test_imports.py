"""Every import keeps to the layers of `tests/layers.py`, and the test finds those that do not."""

from __future__ import annotations

import pytest

from tests.layers import BESIDE, LAYERS, LIBRARIES, ROOT, circles, files, imports, violations


@pytest.mark.parametrize("path", files())
def test_imports_keep_to_their_room(path: str) -> None:
    found = violations((ROOT / path).read_text(encoding="utf-8"), path)
    assert not found, "\n".join(found)


def test_no_modules_import_each_other_in_a_ring() -> None:
    assert circles() == []


@pytest.mark.parametrize("room", [*(r for line in LAYERS for r in line), *BESIDE, *LIBRARIES])
def test_every_room_holds_files(room: str) -> None:
    assert any(path.startswith(room) for path in files())


def test_scripts_and_benchmarks_leave_composing_to_the_commands() -> None:
    found = [p for folder in ("scripts", "bench") for p in (ROOT / folder).rglob("*")]
    python = [p for p in found if p.is_file() and (p.suffix == ".py" or is_python(p.read_bytes()))]
    assert python
    for path in python:
        names = {name for _, name in imports(path.read_text(encoding="utf-8"), path.name)}
        assert not any(name.startswith("router.app.") for name in names), path


def is_python(data: bytes) -> bool:
    return b"python" in data.split(b"\n", 1)[0]


@pytest.mark.parametrize(
    ("path", "source", "name"),
    [
        ("bandit/choice.py", "from vowpalwabbit import Workspace", "vowpalwabbit.Workspace"),
        ("bandit/choice.py", "import router.domain.catalog", "router.domain.catalog"),
        ("bandit/choice.py", "from bandit.registry import x", "bandit.registry.x"),
        ("bandit/choice.py", "import asyncio", "asyncio"),
        ("bandit/models/x.py", "from bandit.policies import base", "bandit.policies.base"),
        ("bandit/models/vowpal_wabbit.py", "import redis", "redis"),
        ("bandit/risk/x.py", "from bandit.context import view", "bandit.context.view"),
        ("router/domain/x.py", "from router.ports import state", "router.ports.state"),
        ("router/gates/x.py", "from router.learning import learner", "router.learning.learner"),
        ("router/gates/x.py", "from router.serving import cascade", "router.serving.cascade"),
        ("router/serving/x.py", "import grpc", "grpc"),
        ("router/serving/x.py", "def f():\n    import httpx", "httpx"),
        ("router/serving/x.py", "from router.adapters import storage", "router.adapters.storage"),
        ("router/serving/x.py", "from ..adapters.storage import x", "router.adapters.storage.x"),
        ("router/serving/x.py", "from router import app", "router.app"),
        ("router/serving/x.py", "from google.protobuf import message", "google.protobuf.message"),
        ("router/serving/x.py", "import socket", "socket"),
        ("router/runtime/x.py", "from urllib.request import urlopen", "urllib.request.urlopen"),
        ("router/runtime/x.py", "import importlib\nimportlib.import_module('redis')", "redis"),
        ("router/adapters/storage/x.py", "import httpx", "httpx"),
        (
            "router/adapters/storage/x.py",
            "from router.adapters.providers import sse",
            "router.adapters.providers.sse",
        ),
        (
            "router/adapters/storage/x.py",
            "from router.serving import cascade",
            "router.serving.cascade",
        ),
        ("router/adapters/providers/x.py", "import redis.asyncio", "redis.asyncio"),
        ("router/adapters/embedding/hub.py", "import onnxruntime", "onnxruntime"),
        ("router/rpc/limits.py", "from adaptive_router.v1 import x", "adaptive_router.v1.x"),
        ("router/rpc/servicer.py", "from router.config import Config", "router.config.Config"),
        ("router/config/x.py", "from router.app.server import run", "router.app.server.run"),
        ("router/app/x.py", "import redis", "redis"),
        ("router/app/x.py", "from router.tools import publishing", "router.tools.publishing"),
        ("demo/x.py", "from router.domain import catalog", "router.domain.catalog"),
    ],
)
def test_a_forbidden_import_is_found(path: str, source: str, name: str) -> None:
    line = source.count("\n") + 1
    assert violations(source, path) == [f"{path}:{line}: may not import {name}"]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("bandit/models/vowpal_wabbit.py", "from vowpalwabbit import Workspace"),
        ("bandit/choice.py", "import math\nfrom bandit.types import Action\nfrom . import types"),
        ("bandit/policies/x.py", "from bandit.models.ridge import Ridge"),
        ("router/runtime/x.py", "import asyncio\nfrom jsonschema import Draft202012Validator"),
        ("router/rpc/convert_in.py", "from adaptive_router.v1 import chat_pb2"),
        (
            "router/app/x.py",
            "from router.adapters.storage import x\nimport router.rpc.server",
        ),
        ("router/cli/__init__.py", "def serve():\n    from router import app"),
    ],
)
def test_a_permitted_import_is_not(path: str, source: str) -> None:
    assert violations(source, path) == []


def test_a_file_outside_every_room_is_found() -> None:
    assert "belongs to no room" in violations("", "router/odd/x.py")[0]
