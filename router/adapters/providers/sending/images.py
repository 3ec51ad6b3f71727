"""Images by URL in the forms that protocols want them."""

from __future__ import annotations

import base64
import mimetypes
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

USUAL: Final = "image/jpeg"
_OTHER_NAMES: Final = {"image/jpg": USUAL, "image/pjpeg": USUAL, "image/x-png": "image/png"}


def inlined(url: str) -> tuple[str, str]:
    """Returns media type and base64 text of a `data:` URL, however it was encoded."""
    head, _, data = url.removeprefix("data:").partition(",")
    kind, *options = (option.strip().lower() for option in head.split(";"))
    raw = unquote_to_bytes(data)
    text = raw if "base64" in options else base64.b64encode(raw)
    return _OTHER_NAMES.get(kind, kind), b"".join(text.split()).decode("ascii", "replace")


def kind_of(url: str) -> str:
    """Returns the media type that the end of a URL's path tells; the usual one else."""
    kind = mimetypes.guess_type(urlsplit(url).path)[0] or ""
    return kind if kind.startswith("image/") else USUAL
