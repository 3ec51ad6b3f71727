"""Mistakes in the URL of a Redis. No fix repeats what may be a part of a password."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

SCHEMES: Final = ("redis", "rediss", "unix")
FORM: Final = (
    "redis://HOST:PORT, rediss://HOST:PORT or unix://PATH; "
    "signs in a password are percent-encoded ('/' is %2F)"
)
_NAME: Final = re.compile(r"[a-z_]{1,32}")
_MOST_S: Final = 1e9
_YES_NO: Final = ("true", "false", "yes", "no", "1", "0")


def _is_number(value: str) -> bool:
    try:
        return 0 < float(value) < _MOST_S
    except ValueError:
        return False


def _is_count(value: str) -> bool:
    return value.isascii() and value.isdigit()


def _is_file(value: str) -> bool:
    return Path(value).is_file()


Check = tuple[Callable[[str], bool], str]
_COUNT: Final[Check] = (_is_count, "a whole number")
_SECONDS: Final[Check] = (_is_number, "a number of seconds")
_SWITCH: Final[Check] = (lambda value: value.lower() in _YES_NO, "true or false")
_TEXT: Final[Check] = (bool, "a text")
_FILE: Final[Check] = (_is_file, "a file that can be read")

OPTIONS: Final[Mapping[str, Check]] = {
    "db": _COUNT,
    "username": _TEXT,
    "password": _TEXT,
    "client_name": _TEXT,
    "socket_timeout": _SECONDS,
    "socket_connect_timeout": _SECONDS,
    "socket_read_size": _COUNT,
    "health_check_interval": _COUNT,
    "retry_on_timeout": _SWITCH,
}
TCP_OPTIONS: Final[Mapping[str, Check]] = {"socket_keepalive": _SWITCH}
TLS_OPTIONS: Final[Mapping[str, Check]] = {
    "ssl_ca_certs": _FILE,
    "ssl_ca_path": (lambda value: Path(value).is_dir(), "a directory"),
    "ssl_certfile": _FILE,
    "ssl_keyfile": _FILE,
    "ssl_password": _TEXT,
    "ssl_cert_reqs": (lambda value: value in {"none", "optional", "required"}, "required or none"),
    "ssl_check_hostname": _SWITCH,
    "ssl_ciphers": _TEXT,
    "ssl_min_version": _COUNT,
}


def mistakes_in(url: str) -> Iterator[str]:
    """Yields a fix for each mistake."""
    if url != url.strip() or not url.isprintable():
        yield f"take out the spaces: write {FORM}"
        return
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # A password that is not encoded is read as a port up to its first '/', '?' or '#'.
        yield f"write {FORM}; PORT is at most 65535"
        return
    if parts.scheme not in SCHEMES or "://" not in url:
        yield f"write {FORM}"
    elif "@" in parts.path + parts.query or parts.fragment or url.endswith("#"):
        yield f"write {FORM}; nothing follows a '#'"
    else:
        yield from _address(parts, port)
        yield from _options(parts)


def _address(parts: SplitResult, port: int | None) -> Iterator[str]:
    path = unquote(parts.path)
    if parts.scheme == "unix":
        if parts.hostname or not path.startswith("/") or len(path) < len("/x"):
            yield "name the whole path of the socket: unix:///DIRECTORY/NAME.sock"
        return
    if not parts.hostname:
        yield f"name a host: {parts.scheme}://HOST:PORT"
    if port == 0 or (port is None and parts.netloc.endswith(":")):
        yield f"name a port from 1 to 65535, or none for 6379: {parts.scheme}://HOST:PORT"
    if path not in {"", "/"} and not _is_count(path.removeprefix("/")):
        yield f"after the port comes the number of the database: {parts.scheme}://HOST:PORT/0"


def _options(parts: SplitResult) -> Iterator[str]:
    known = dict(OPTIONS)
    if parts.scheme != "unix":
        known |= TCP_OPTIONS
    if parts.scheme == "rediss":
        known |= TLS_OPTIONS
    seen = set[str]()
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in known:
            is_right, wanted = known[name]
            if name in seen:
                yield f"write the option {name} once"
            elif not is_right(value):
                yield f"the option {name} takes {wanted}"
        elif name in TLS_OPTIONS:
            yield f"the option {name} needs rediss://"
        else:
            yield _unknown(name, known)
        seen.add(name)


def _unknown(name: str, known: Mapping[str, Check]) -> str:
    told = f"the URL has no option {name}" if _NAME.fullmatch(name) else "take out what follows '?'"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"options are {', '.join(known)}"
    return f"{told}: {hint}"
