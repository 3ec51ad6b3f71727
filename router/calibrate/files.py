"""Files of the user's: read in bounds, written whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from router.calibrate.errors import FileUnwritable, PromptsInvalid
from router.calibrate.prompts import MAX_LINE_BYTES, Prompt, read_prompts

MAX_BYTES: Final = 1 << 30
MODE: Final = 0o600
"""Reports show heads of the user's prompts."""


def prompts_in(path: Path) -> list[Prompt]:
    """Raises PromptsInvalid."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PromptsInvalid(f"{path}:1: keep the file to {MAX_BYTES} bytes")
        return read_prompts(_lines(path), str(path))
    except OSError:
        raise PromptsInvalid(f"{path}:1: name a file that this process can read") from None


def _lines(path: Path) -> Iterator[bytes]:
    """Of a line that is too long only its beginning is kept: enough to see that it is."""
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES + 2):
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(MAX_LINE_BYTES)
            yield line.rstrip(b"\r\n")


def check_writable(path: Path) -> None:
    """Whether `write_file` could begin; leaves nothing behind. Raises FileUnwritable."""
    try:
        os.close(_opened(_draft(path)))
        _draft(path).unlink()
    except OSError:
        raise _unwritable(path) from None


def write_file(path: Path, data: bytes) -> None:
    """Whole or not at all. Raises FileUnwritable."""
    draft = _draft(path)
    try:
        with os.fdopen(_opened(draft), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        raise _unwritable(path) from None


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _opened(draft: Path) -> int:
    return os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, MODE)


def _unwritable(path: Path) -> FileUnwritable:
    return FileUnwritable(
        f"{path}: name a file that this process can write, in a folder that exists"
    )
