"""Names that callers, operators and stored configs hold on to, one a line in a file each.

A line that is gone breaks somebody; a line that is new is promised from then on. Where a change is
meant: `UPDATE_GOLDEN=1 pytest tests/frozen`, then read the diff.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import pkgutil
import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import numpy as np
import pytest
from adaptive_router.v1 import admin_pb2, chat_pb2, router_pb2
from click.testing import CliRunner
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FileDescriptor

import router
from bandit import POLICY_NAMES, make_policy
from bandit.gates import GATE_NAMES, make_gate
from router.cli import main
from router.config import Config
from router.domain.errors import RouterError
from router.observe.metrics import Metrics
from router.rpc.status import code_of
from tests.bandit import answers, streams
from tests.golden.shapes import decoded, shape_in

T = TypeVar("T")
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
UPDATE = "UPDATE_GOLDEN"
LOG_CALLS = {"debug", "info", "warning", "error", "critical", "exception"}


def test_the_contract() -> None:
    """It may only grow: a line that is gone is never written over, only by hand."""
    files = (chat_pb2.DESCRIPTOR, router_pb2.DESCRIPTOR, admin_pb2.DESCRIPTOR)
    frozen("contract.txt", (line for file in files for line in contract(file)), grows=True)


def test_keys_of_the_config() -> None:
    schema = Config.model_json_schema()
    frozen("config.txt", config_lines(schema, schema["$defs"], "config"))


def test_help_of_every_command() -> None:
    frozen("help.txt", (line for path in commands(main) for line in help_lines(path)), ordered=True)


def test_metrics() -> None:
    frozen("metrics.txt", metric_lines())


def test_reasons_of_errors() -> None:
    """Reasons of the tools' errors reach no caller; their status is what one would get."""
    frozen("reasons.txt", set(reason_lines()))


def test_events_of_logs() -> None:
    frozen("log_events.txt", set(logged()))


def test_environment_variables() -> None:
    found = re.compile(r"\b(?:ADAPTIVE_ROUTER|ROUTER|ORT)_[A-Z_]+\b")
    frozen("environment.txt", {name for text in sources() for name in found.findall(text)})


def test_values_of_enumerations() -> None:
    """They are stored, and told in answers, logs and metrics."""
    import_all()
    ours = (kind for kind in tree(StrEnum) if kind.__module__.startswith(("router.", "bandit.")))
    frozen("enumerations.txt", {" ".join(sorted(kind)) for kind in ours})


def test_lines_of_a_calibration() -> None:
    import_all()
    kinds = [kind for kind in tree(msgspec.Struct) if kind.__struct_config__.tag]
    frozen(
        "calibration.txt",
        (f"{k.__struct_config__.tag}: {' '.join(k.__struct_encode_fields__)}" for k in kinds),
    )


def test_snapshots_of_every_policy_and_gate() -> None:
    frozen("snapshots.txt", (line for payload in snapshots() for line in snapshot_lines(payload)))


def frozen(name: str, lines: Iterable[str], *, grows: bool = False, ordered: bool = False) -> None:
    """Hold lines against a file. grows: not even an update takes one away."""
    found, file = list(lines) if ordered else sorted(lines), HERE / name
    before = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    gone = [line for line in before if line not in set(found)]
    if os.environ.get(UPDATE) and not (grows and gone):
        file.write_text("\n".join(found) + "\n", encoding="utf-8")
        return
    new = [line for line in found if line not in set(before)]
    how = "by hand only" if grows and gone else f"if meant: {UPDATE}=1 pytest tests/frozen"
    listed = [*(f"- {line}" for line in gone), *(f"+ {line}" for line in new)]
    if found != before:
        pytest.fail(
            "\n".join([f"tests/frozen/{name} does not hold any more ({how}):", *listed]),
            pytrace=False,
        )


def contract(file: FileDescriptor) -> Iterator[str]:
    for message in file.message_types_by_name.values():
        yield from message_lines(message)
    for enum in file.enum_types_by_name.values():
        yield from enum_lines(enum)
    for service in file.services_by_name.values():
        for method in service.methods:
            asked, told = method.input_type.full_name, method.output_type.full_name
            streams = [method.client_streaming, method.server_streaming]
            yield f"{method.full_name}: {asked} -> {told}, streams {streams}"


def message_lines(message: Descriptor) -> Iterator[str]:
    for field in message.fields:
        of = field.message_type or field.enum_type
        kind = of.full_name if of else f"type {field.type}"
        where = f" in {field.containing_oneof.name}" if field.containing_oneof else ""
        many = "repeated " if field.is_repeated else ""
        yield f"{field.full_name} = {field.number}: {many}{kind}{where}"
    for inner in message.nested_types:
        yield from message_lines(inner)
    for enum in message.enum_types:
        yield from enum_lines(enum)


def enum_lines(enum: EnumDescriptor) -> Iterator[str]:
    yield from (f"{enum.full_name}: {value.name} = {value.number}" for value in enum.values)


def config_lines(node: Any, types: dict[str, Any], path: str) -> Iterator[str]:
    """Yield the lines of a JSON schema, its references followed and its prose left out."""
    if isinstance(node, dict):
        node = {**node, **types.get(str(node.get("$ref", "")).rpartition("/")[2], {})}
        names = node.get("properties", {})
        for name, inner in names.items():
            yield from config_lines(inner, types, f"{path}.{name}")
        for name in node.keys() - {"title", "description", "properties", "$ref", "$defs"}:
            yield from config_lines(node[name], types, f"{path} {name}")
    elif isinstance(node, list) and any(isinstance(inner, dict) for inner in node):
        for place, inner in enumerate(node):
            yield from config_lines(inner, types, f"{path}[{place}]")
    else:
        yield f"{path} = {json.dumps(node)}"


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from commands(inner, (*path, name))


def help_lines(path: tuple[str, ...]) -> list[str]:
    asked = [*path, "--help"]
    told = CliRunner().invoke(main, asked, prog_name="adaptive-router", terminal_width=100)
    return [*told.output.splitlines(), ""]


def metric_lines() -> Iterator[str]:
    registry = Metrics().registry
    for collector, names in registry._collector_to_names.items():  # noqa: SLF001 - labels are told by no other means
        labels = ",".join(collector._labelnames)  # type: ignore[attr-defined]  # noqa: SLF001
        yield f"{collector._type} {names[0]}{{{labels}}}"  # type: ignore[attr-defined]  # noqa: SLF001


def import_all() -> None:
    for module in pkgutil.walk_packages(router.__path__, "router."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def reason_lines() -> Iterator[str]:
    import_all()
    for kind in tree(RouterError):
        if kind.__module__.startswith("router."):
            yield f"{kind.reason} {code_of(kind.__new__(kind)).name}"


def tree(kind: type[T]) -> Iterator[type[T]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def logged() -> Iterator[str]:
    """Yield the first argument of every call of a method of something named log."""
    for text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = ast.unparse(node.func.value)
                first = node.args[0] if node.args else None
                if node.func.attr in LOG_CALLS and re.search(r"log(ger)?\b", called.lower()):
                    yield str(first.value) if isinstance(first, ast.Constant) else ast.unparse(node)


def snapshots() -> Iterator[bytes]:
    for name in POLICY_NAMES:
        policy = make_policy(name, streams.SETTINGS, streams.VERSION, np.random.default_rng(1))
        streams.taught(policy, lambda action, kind: 0.9 if action == f"a{kind % 3}" else 0.3, 150)
        yield policy.save()
    for name in GATE_NAMES:
        gate = make_gate(name, answers.SETTINGS, answers.VERSION, np.random.default_rng(1))
        yield answers.taught(gate, 90).save()


def snapshot_lines(payload: bytes) -> Iterator[str]:
    snapshot = decoded(payload)
    for path, kinds in shape_in(snapshot).items():
        yield f"{snapshot['kind']}{path}: {' '.join(sorted(kinds))}"


def sources() -> Iterator[str]:
    for package in ("bandit", "router"):
        for file in (ROOT / package).rglob("*.py"):
            yield file.read_text(encoding="utf-8")
