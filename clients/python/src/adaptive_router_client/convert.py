"""Turns dataclasses into messages of the contract and back: their fields have the same names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, get_args, get_type_hints

from google.protobuf.message import Message

Value = TypeVar("Value")
_WORD = re.compile(r"(?<!^)(?=[A-Z])")
Read = Callable[[Message], Any]


def encode(value: Any, message: Message) -> None:
    """Fill a message with a dataclass; a field that is None stays unset."""
    for field in fields(value):
        item = getattr(value, field.name)
        if item is not None:
            _put(message, field.name, item)


def _put(message: Message, name: str, item: Any) -> None:
    target = getattr(message, name)
    if isinstance(item, tuple) and item and is_dataclass(item[0]):
        for each in item:
            encode(each, target.add())
    elif isinstance(item, tuple):
        target.extend(item)
    elif is_dataclass(item):
        target.SetInParent()
        encode(item, target)
    else:
        setattr(message, name, _scalar(message.DESCRIPTOR.fields_by_name[name], item))


def _scalar(field: Any, item: Any) -> Any:
    if field.enum_type is None:
        return item
    value = field.enum_type.values_by_name.get(_prefix(field.enum_type.name) + item.upper())
    if value is None:
        raise ValueError(f"{field.name}: {item!r} is none of the contract's")
    return value.number


@cache
def _prefix(enum: str) -> str:
    return _WORD.sub("_", enum).upper() + "_"


def decode(kind: type[Value], message: Message) -> Value:
    """Returns the dataclass of this kind that a message holds."""
    shape: Any = kind
    return kind(**{name: read(message) for name, read in _readers(shape, message.DESCRIPTOR)})


@cache
def _readers(kind: Any, descriptor: Any) -> tuple[tuple[str, Read], ...]:
    hints = get_type_hints(kind)
    named = ((name, descriptor.fields_by_name[name]) for name in hints)
    return tuple((name, _reader(name, field, _inner(hints[name]))) for name, field in named)


def _inner(hint: Any) -> type | None:
    """Returns the dataclass in X, X | None or tuple[X, ...]."""
    if isinstance(hint, type) and is_dataclass(hint):
        return hint
    found = (arg for arg in get_args(hint) if isinstance(arg, type) and is_dataclass(arg))
    return next(found, None)


def _reader(name: str, field: Any, inner: type | None) -> Read:
    default = field.default_value
    if isinstance(default, list):  # a repeated field
        if inner is None:
            return lambda message: tuple(getattr(message, name))
        return lambda message: tuple(decode(inner, item) for item in getattr(message, name))
    if inner is not None:
        return lambda message: (
            decode(inner, getattr(message, name)) if message.HasField(name) else None
        )
    if field.enum_type is not None:
        return lambda message: _word(field.enum_type, getattr(message, name))
    if field.has_presence:
        return lambda message: getattr(message, name) if message.HasField(name) else None
    return lambda message: getattr(message, name)


def _word(enum: Any, number: int) -> str:
    value = enum.values_by_number.get(number)
    return "unknown" if value is None else value.name.removeprefix(_prefix(enum.name)).lower()
