"""The shape of a store: names of keys and fields, and kinds of values, without the values."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec
import numpy as np
import redis

from router.adapters.storage.codec import PACKED, read_record

Shape: TypeAlias = dict[str, set[str]]
"""Path to the kinds of what stands there; none for what was always empty."""

NEARLY, TINY = 1e-3, 1e-6
_MAGIC = b"BANDIT\r\n"
_HEAD = struct.Struct("<8sII32s")
_NAMES = "acme|odd|sure|gone|cheap|reasoning|fallback|broken-1|alike|checked|plain|lin"
_VARIES = re.compile(rf"[0-9a-f]{{16,}}|\b(\d+|{_NAMES})\b")


def shape_of(store: redis.Redis) -> Shape:
    shape: Shape = {}
    for key in store.scan_iter("*", count=1_000):
        kind = store.type(key).decode()
        name = _plain(key.decode())
        for path, value in _values(store, key, kind):
            _add(shape, f"{name} {kind} {path}", decoded(value))
    return shape


def shape_in(value: Any) -> Shape:
    shape: Shape = {}
    _add(shape, "", value)
    return shape


def _values(store: redis.Redis, key: bytes, kind: str) -> Iterator[tuple[str, bytes]]:
    if kind == "string":
        yield "", store.get(key)
    elif kind == "hash":
        counts_words = key.startswith(b"ar:terms:")
        found = store.hgetall(key)
        if any(re.fullmatch(rb"r\d+", field) for field in found):
            found[b"record"] = packed(found)
        for field, value in found.items():
            yield "*" if counts_words else _plain(field.decode()), value
    elif kind == "stream":
        for _, fields in store.xrange(key):
            event = fields.pop(b"kind").decode()
            yield from ((f"{event}.{name.decode()}", value) for name, value in fields.items())
    elif kind == "zset":
        for member, _ in store.zscan_iter(key):
            yield "", member
    else:
        yield "", b""


def packed(fields: dict[bytes, bytes]) -> bytes:
    """Takes the pieces of a record out of the fields of a decision's hash; returns the whole."""
    pieces = {int(field[1:]): field for field in fields if re.fullmatch(rb"r\d+", field)}
    return b"".join(fields.pop(pieces[place]) for place in sorted(pieces))


def _plain(name: str) -> str:
    return _VARIES.sub("*", name)


def _add(shape: Shape, path: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _add(shape, f"{path}.{_plain(str(name))}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _add(shape, f"{path}[]", inner)
    else:
        kinds = shape.setdefault(path, set())
        if value is not None:
            kinds.add(str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__)


def decoded(data: bytes) -> Any:
    """Snapshots and MessagePack, the one within the other; else the bytes or the number."""
    if data.startswith(_MAGIC):
        return _snapshot(data)
    if data.startswith(PACKED):
        return msgspec.to_builtins(read_record(data, None))
    if data[:1] and (data[0] & 0xF0 == 0x80 or data[:1] in b"\xde\xdf"):  # a map
        try:
            return msgspec.msgpack.decode(data)
        except msgspec.DecodeError:
            return data
    return float(data) if re.fullmatch(rb"-?\d+(\.\d+)?(e-?\d+)?", data) else data


def _snapshot(data: bytes) -> dict[str, Any]:
    _, version, length, _ = _HEAD.unpack_from(data)
    start = _HEAD.size + length
    header = json.loads(data[_HEAD.size : start])
    found = {"version": version, "kind": header["kind"], "meta": header["meta"]}
    for name, kind, shape in header["arrays"]:
        dtype = np.dtype(kind)
        array = np.frombuffer(data, dtype, int(np.prod(shape)), start)
        start += array.nbytes
        inner = decoded(array.tobytes()) if kind == "|u1" else array.reshape(shape)
        found[f"array {name}"] = array if isinstance(inner, bytes | float) else inner
    return found


def assert_close(one: Any, other: Any, path: str = "") -> None:
    """Numbers may differ a little, as they do between processors and by Vowpal Wabbit's advice."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for name, inner in one.items():
            assert_close(inner, other[name], f"{path}/{name}")
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for place, inner in enumerate(one):
            assert_close(inner, other[place], f"{path}/{place}")
    elif isinstance(one, np.ndarray):
        np.testing.assert_allclose(one, other, rtol=NEARLY, atol=TINY, err_msg=path)
    elif isinstance(one, float):
        assert abs(one - other) <= NEARLY * abs(one) + TINY, path
    else:
        assert one == other, path
