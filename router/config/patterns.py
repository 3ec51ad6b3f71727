"""Patterns of texts in a config, each with what to write in place of what has another form."""

from __future__ import annotations

from typing import Final

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
NODE: Final = r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}$"
PROXY: Final = r"^(environment|none|https?://[^@\s]+)$"
FIELD: Final = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
FIELD_PATH: Final = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}(\.[A-Za-z_][A-Za-z0-9_-]{0,63}){0,7}$"
HEADER: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$"

FIXES: Final = {
    NAME: "use letters, digits, '_', '.', '-' only (64 at most)",
    NODE: "write HOST:PORT, or [ADDRESS]:PORT for IPv6",
    FIELD: "write the name of a field of the body",
    FIELD_PATH: "write the name of a field of the body, with dots within objects",
    HEADER: "write the name of an HTTP header",
    PROXY: "write http://HOST:PORT or https://HOST:PORT without a login, environment or none; "
    "SOCKS is not spoken",
}
