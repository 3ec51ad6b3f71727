"""Prompts of a user's file, read in bounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from router.tools.calibrate.collect.prompts import MAX_LINE_BYTES, Prompt, read_prompts
from router.tools.calibrate.errors import PromptsInvalid

MAX_BYTES: Final = 1 << 30


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
