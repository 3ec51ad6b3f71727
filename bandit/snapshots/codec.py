"""Snapshots: versioned, checksummed bytes of named numbers. No pickle, nothing is executed.

Layout: magic (8) | format version (u32 LE) | header length (u32 LE) | SHA-256 of the rest (32) |
header (JSON: kind, meta, arrays as [name, dtype, shape]) | the arrays, C order, back to back.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.errors import CorruptSnapshot, VersionMismatch
from bandit.snapshots.parts import Arrays, part_of

MAGIC: Final = b"BANDIT\r\n"
FORMAT: Final = 8
MAX_BYTES: Final = 1 << 28
_FIXED: Final = struct.Struct("<8sII32s")
_TYPES: Final = frozenset({"<f8", "<f4", "<f2", "<i4", "|u1"})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A learner's state. kind: its name. meta: JSON values. arrays: floats are finite."""

    kind: str
    meta: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    def part(self, name: str) -> Arrays:
        """Return the arrays of one part under their own names."""
        return part_of(self.arrays, name)


def pack(snapshot: Snapshot) -> bytes:
    arrays = {name: np.ascontiguousarray(array) for name, array in snapshot.arrays.items()}
    header = json.dumps(
        {
            "kind": snapshot.kind,
            "meta": snapshot.meta,
            "arrays": [[name, a.dtype.str, list(a.shape)] for name, a in arrays.items()],
        }
    ).encode()
    body = header + b"".join(array.tobytes() for array in arrays.values())
    return _FIXED.pack(MAGIC, FORMAT, len(header), hashlib.sha256(body).digest()) + body


def unpack(data: bytes) -> Snapshot:
    """Return what was packed.

    Raises:
        CorruptSnapshot: damaged, truncated, something else, or holding a non-finite number.
        VersionMismatch: written in another format.

    """
    header, body = _checked(data)
    try:
        arrays = dict(_arrays(header["arrays"], body))
        snapshot = Snapshot(str(header["kind"]), dict(header["meta"]), arrays)
    except (KeyError, TypeError, ValueError):
        raise _corrupt() from None
    for array in arrays.values():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CorruptSnapshot("the snapshot holds a non-finite number; go back to an older one")
    return snapshot


def rename_actions(payload: bytes, names: Mapping[str, str]) -> bytes:
    """Rename actions in a snapshot; the same bytes where there is nothing to rename.

    names: earlier -> today's. An earlier name stays where today's is there as well: what was
    learned of two actions is not put together.

    Raises:
        CorruptSnapshot, VersionMismatch.

    """
    snapshot = unpack(payload)
    held = snapshot.meta.get("actions", [])
    renamed = [names[a] if a in names and names[a] not in held else a for a in held]
    if renamed == held:
        return payload
    return pack(replace(snapshot, meta={**snapshot.meta, "actions": renamed}))


def _checked(data: bytes) -> tuple[dict[str, Any], memoryview]:
    if not _FIXED.size <= len(data) <= MAX_BYTES:
        raise _corrupt()
    magic, version, length, digest = _FIXED.unpack_from(data)
    if magic != MAGIC:
        raise _corrupt()
    if version != FORMAT:
        raise VersionMismatch(
            f"the snapshot has format {version}, this program reads {FORMAT}; "
            "load it with the program that wrote it, or start a new policy"
        )
    body = memoryview(data)[_FIXED.size :]
    if hashlib.sha256(body).digest() != digest:
        raise _corrupt()
    try:
        header = json.loads(bytes(body[:length]))
    except ValueError:
        raise _corrupt() from None
    if not isinstance(header, dict):
        raise _corrupt()
    return header, body[length:]


def _arrays(specs: list[Any], body: memoryview) -> Iterator[tuple[str, NDArray[Any]]]:
    start = 0
    for name, kind, shape in specs:
        if kind not in _TYPES or min([*shape, 0]) < 0:
            raise ValueError(kind)
        dtype = np.dtype(kind)
        end = start + math.prod(shape) * dtype.itemsize
        yield str(name), np.frombuffer(body[start:end], dtype=dtype).reshape(shape).copy()
        start = end
    if start != len(body):
        raise ValueError("left over")


def _corrupt() -> CorruptSnapshot:
    return CorruptSnapshot("the snapshot is damaged or is no snapshot; go back to an older one")
