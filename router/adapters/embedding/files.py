"""The model's files: what they must be, and where they are looked for.

The model is BGE-small-en-v1.5 (MIT), int8 ONNX, as published by Xenova. Size and SHA-256 are
pinned, so it does not matter which source or directory a file comes from.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from router.domain.errors import ModelCorrupt, ModelUnavailable

MODEL_DIR_VARIABLE: Final = "ADAPTIVE_ROUTER_MODEL_DIR"
_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """One file of the model; `hub_path` is its name at the hub."""

    name: str
    size_bytes: int
    sha256: str
    hub_path: str


WEIGHTS: Final = PinnedFile(
    name="model_quantized.onnx",
    size_bytes=34_014_426,
    sha256="6c9c6101a956d62dfb5e7190c538226c0c5bb9cb27b651234b6df063ee7dbfe4",
    hub_path="onnx/model_quantized.onnx",
)
TOKENIZER: Final = PinnedFile(
    name="tokenizer.json",
    size_bytes=711_396,
    sha256="d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
    hub_path="tokenizer.json",
)
FILES: Final = (WEIGHTS, TOKENIZER)


def cache_dir() -> Path:
    """Returns where fetched files are kept; it may not exist yet."""
    return platformdirs.user_cache_path("adaptive-router") / "bge-small-en-v1.5-int8"


def named_dir() -> Path | None:
    """Returns the directory that the environment names."""
    value = os.environ.get(MODEL_DIR_VARIABLE, "").strip()
    return Path(value) if value else None


def model_dir() -> Path:
    """Returns the first directory that holds every file at its size: the named one, the cache.

    Contents are verified by `read_verified` when the model loads, so this stays a few `stat`s.

    Raises:
        ModelCorrupt: a file is there but has the wrong size, and no other directory is whole.
        ModelUnavailable: no directory holds the files.

    """
    places = [place for place in (named_dir(), cache_dir()) if place is not None]
    for place in places:
        if all(_size_bytes(place / file.name) == file.size_bytes for file in FILES):
            return place
    for place in places:
        _refuse_wrong_sizes(place)
    looked = " or ".join(str(place) for place in places)
    raise ModelUnavailable(
        f"no embedding model in {looked}; run `adaptive-router fetch-model`, "
        f"or set {MODEL_DIR_VARIABLE} to a directory that holds the files"
    )


def read_verified(directory: Path, file: PinnedFile) -> bytes:
    """Returns the bytes of a file, hashed as read, so that what is checked is what is used.

    Raises:
        ModelUnavailable: the file cannot be read.
        ModelCorrupt: it is not the pinned file.

    """
    path = directory / file.name
    try:
        if path.stat().st_size != file.size_bytes:
            raise _corrupt(path)
        content = path.read_bytes()
    except OSError:
        raise ModelUnavailable(f"cannot read {path}; run `adaptive-router fetch-model`") from None
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise _corrupt(path)
    return content


def is_verified(path: Path, file: PinnedFile) -> bool:
    """Returns whether `path` holds exactly the pinned content."""
    if _size_bytes(path) != file.size_bytes:
        return False
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError:
        return False
    return digest.hexdigest() == file.sha256


def _refuse_wrong_sizes(place: Path) -> None:
    for file in FILES:
        if _size_bytes(place / file.name) not in (None, file.size_bytes):
            raise _corrupt(place / file.name)


def _size_bytes(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _corrupt(path: Path) -> ModelCorrupt:
    return ModelCorrupt(
        f"{path} is not the pinned model file; delete it and run `adaptive-router fetch-model`"
    )
