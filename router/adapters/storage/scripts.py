"""Lua files, read once when the process starts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    source: bytes
    sha: str


def load(*names: str) -> Script:
    """The files of `lua/` in this order as one script: what is shared first."""
    folder = files(__package__).joinpath("lua")
    source = b"\n".join(folder.joinpath(f"{name}.lua").read_bytes() for name in names)
    # The server names a script by its SHA-1; nothing is protected by it.
    return Script(source, hashlib.sha1(source, usedforsecurity=False).hexdigest())
