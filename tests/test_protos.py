"""The contract keeps the rules of `buf lint` (category STANDARD), read off its descriptors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from adaptive_router.v1 import chat_pb2, router_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor

FILES = (chat_pb2.DESCRIPTOR, router_pb2.DESCRIPTOR)
PROTOS = Path(__file__).parents[1] / "protos"
PASCAL, SNAKE = re.compile(r"([A-Z][a-z0-9]+)+"), re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def messages() -> Iterator[Descriptor]:
    stack = [m for file in FILES for m in file.message_types_by_name.values()]
    while stack:
        message = stack.pop()
        yield message
        stack.extend(message.nested_types)


def enums() -> Iterator[EnumDescriptor]:
    for file in FILES:
        yield from file.enum_types_by_name.values()
    for message in messages():
        yield from message.enum_types


def upper_snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_files_lie_where_their_package_says(file) -> None:
    assert re.fullmatch(r"[a-z_.]+\.v\d+", file.package)
    assert Path(file.name).parent.as_posix() == file.package.replace(".", "/")
    assert SNAKE.fullmatch(Path(file.name).stem)


@pytest.mark.parametrize("message", list(messages()), ids=lambda message: message.full_name)
def test_messages(message: Descriptor) -> None:
    assert PASCAL.fullmatch(message.name)
    assert all(SNAKE.fullmatch(field.name) for field in message.fields)
    named = (one for one in message.oneofs if not one.name.startswith("_"))  # not of optionals
    assert all(SNAKE.fullmatch(one.name) for one in named)


@pytest.mark.parametrize("enum", list(enums()), ids=lambda enum: enum.full_name)
def test_enums(enum: EnumDescriptor) -> None:
    prefix = upper_snake(enum.name) + "_"
    assert enum.values_by_number[0].name == f"{prefix}UNSPECIFIED"
    assert all(value.name.startswith(prefix) for value in enum.values)


def test_services() -> None:
    (service,) = router_pb2.DESCRIPTOR.services_by_name.values()
    assert service.name.endswith("Service")
    seen = []
    for method in service.methods:
        assert method.input_type.name == f"{method.name}Request"
        assert method.output_type.name == f"{method.name}Response"
        seen += [method.input_type.name, method.output_type.name]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_everything_is_explained(file) -> None:
    lines = (PROTOS / file.name).read_text().splitlines()
    declares = re.compile(r"\s*(message|enum|service|rpc) ")
    bare = [line for before, line in pairwise(lines) if declares.match(line) and "//" not in before]
    assert bare == []
