"""Files of the user's, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from router.core.errors import RouterError

MODE: Final = 0o600
"""What this service writes for its user tells of prompts, tenants or money."""


class FileUnwritable(RouterError):
    """A file can't be written where it was asked for."""

    reason = "FILE_UNWRITABLE"


def write_file(path: Path, data: bytes) -> None:
    """Raises FileUnwritable."""
    draft = path.with_name(f".{path.name}.part")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        raise FileUnwritable(f"{path}: name a file that this process can write") from None
