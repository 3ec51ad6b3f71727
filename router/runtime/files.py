"""Files of the user's, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from router.domain.errors import RouterError

MODE: Final = 0o600
"""Files written for the user tell of prompts, tenants or money."""


class FileUnwritable(RouterError):
    """A file can't be written where it was asked for."""

    reason = "FILE_UNWRITABLE"


def check_writable(path: Path) -> None:
    """Raises FileUnwritable where `write_file` could not begin; leaves nothing behind."""
    try:
        os.close(_opened(_draft(path)))
        _draft(path).unlink()
    except OSError:
        raise _unwritable(path) from None


def write_file(path: Path, data: bytes) -> None:
    """Raises FileUnwritable."""
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
