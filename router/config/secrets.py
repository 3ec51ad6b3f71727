"""Keys that must not stand in a config file, and what a usable key looks like."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from router.config.document import Path

VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")
# How the keys of the large providers begin; none of this is a model, a host or a path.
_KEY = re.compile(
    r"\b(sk-[A-Za-z0-9_-]{12,}|(gsk|xai|hf|pplx|fw|r8|nvapi|tgp)[_-][A-Za-z0-9_-]{16,}"
    r"|AIza[A-Za-z0-9_-]{30,}|ar_[A-Za-z0-9_-]{40,})"
)


def literal_secrets(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """(path, fix) of every text that looks like a key, or is a URL with a password in it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from literal_secrets(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from literal_secrets(item, (*path, index))
    elif isinstance(value, str) and _KEY.search(value):
        yield path, "take the key out of the file: use api_key_env or api_key_file"
    elif isinstance(value, str) and has_password(value):
        fix = "name a variable in api_key_env, headers or redis.url_env"
        yield path, f"take the password out of the file: {fix}"


def has_password(url: str) -> bool:
    try:
        return "://" in url and urlsplit(url).password is not None
    except ValueError:
        return False


def usable(key: str) -> bool:
    """Goes into an HTTP header as it is."""
    return bool(key) and key.isascii() and key.isprintable() and " " not in key
