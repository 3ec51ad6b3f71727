"""Reads the bodies of errors: their codes, messages and the field that they name.

Every provider nests them in its own way. What is looked for is named here; all else, such as the
echo of a request, is not read. Pure, bounded, and of any shape.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

MAX_NODES: Final = 64
MAX_MESSAGE_CHARACTERS: Final = 2_000
MAX_CODE_SPACES: Final = 2
"""A code of more words is a sentence: "The caller does not have permission to ..."."""
MAX_NUMBER: Final = 1_000_000_000
_MARKS = bytes(each for each in range(128) if not chr(each).isalnum())
_CODE = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_PAGE = re.compile(r"\s*<(?:!doctype|!--|\?xml|html|head|body|title|center|h1)\b", re.IGNORECASE)
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_WITHIN = """
    error errors detail details innererror inner_error metadata raw message response fault
    cause err violations fieldviolations field_violations base_resp
"""
_FOLLOWED = frozenset(_WITHIN.split())
_CODES = (
    "reason",
    "code",
    "error_code",
    "errorcode",
    "err_code",
    "__type",
    "type",
    "status",
    "error_type",
    "status_code",
)
_MESSAGES = (
    "message",
    "msg",
    "detail",
    "error",
    "error_message",
    "errormessage",
    "error_description",
    "description",
    "raw",
    "status_msg",
    "title",
)
_PARAMETERS = ("param", "parameter", "field", "loc", "field_path")


@dataclass(slots=True)
class FailureText:
    """The words of an error, the outermost first.

    codes: as they came. statuses: numbers among them. message: all that was said, bounded.
    parameter: a field of the request, "" for none. retry_after_ms: a pause that the body names.
    is_page: a web server speaks, and no model's. sent: the body that was refused.
    """

    codes: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    message: str = ""
    parameter: str = ""
    retry_after_ms: int | None = None
    is_page: bool = False
    sent: bytes = b""
    _sent_letters: bytes = b""

    def say(self, text: str) -> None:
        joined = f"{self.message}\n{text}" if self.message else text
        self.message = joined[:MAX_MESSAGE_CHARACTERS]

    def says(self, pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
        """Returns the first match in words of the provider: not those of the request, repeated."""
        return next((m for m in pattern.finditer(text) if not self.repeats(m[0])), None)

    def repeats(self, words: str) -> bool:
        if self.sent and not self._sent_letters:
            self._sent_letters = _letters(self.sent)
        return bool(self.sent) and _letters(words.encode("utf-8", "replace")) in self._sent_letters


def _letters(text: bytes) -> bytes:
    """Returns what JSON, quotes and line breaks leave as it is."""
    for escaped in (b"\\n", b"\\t", b"\\r"):
        text = text.replace(escaped, b"")
    return text.lower().translate(None, _MARKS)


def read_failure(error: object, sent: bytes = b"") -> FailureText:
    """Read the decoded JSON of an error, or of a body around it. sent: what it refuses."""
    if isinstance(error, str) and _PAGE.match(error):
        return FailureText(is_page=True)
    found, waiting = FailureText(sent=sent), deque([error])
    for _ in range(MAX_NODES):
        if not waiting:
            break
        node = waiting.popleft()
        if isinstance(node, Mapping):
            waiting.extend(_read_record(node, found))
        elif isinstance(node, str):
            inner = _decoded(node)
            # A prompt may be JSON: its codes are none of the provider's.
            is_text = inner is None or found.repeats(node)
            found.say(node) if is_text else waiting.append(inner)
        elif isinstance(node, Sequence) and not isinstance(node, bytes):
            waiting.extend(node[:MAX_NODES])
    return found


def harmless(word: object) -> str:
    """Returns a code or the name of a field if it is no more than that, else ""."""
    return word if isinstance(word, str) and _CODE.fullmatch(word) else ""


def _read_record(record: Mapping[object, object], found: FailureText) -> Iterator[object]:
    fields = {key.lower(): value for key, value in record.items() if isinstance(key, str)}
    for name in _CODES:
        _note_code(fields.get(name), found)
    found.parameter = found.parameter or _parameter(fields)
    if found.retry_after_ms is None:
        found.retry_after_ms = _pause_ms(fields)
    said = [fields[name] for name in _MESSAGES if isinstance(fields.get(name), str)]
    yield from said
    yield from (
        value for name, value in fields.items() if name in _FOLLOWED and not isinstance(value, str)
    )


def _note_code(code: object, found: FailureText) -> None:
    if isinstance(code, bool):
        return
    if isinstance(code, float) and code.is_integer():
        code = int(code)
    if isinstance(code, int):
        code = str(code) if abs(code) < MAX_NUMBER else ""
    if not isinstance(code, str) or not code or code.count(" ") > MAX_CODE_SPACES:
        return
    if code.isascii() and code.isdigit():
        found.statuses.append(int(code[:9]))
    # A name with the place that declares it, as "com.amazon.coral#ThrottlingException".
    found.codes.append(code[:200].rpartition("#")[2])


def _parameter(fields: Mapping[str, object]) -> str:
    for name in _PARAMETERS:
        value = fields.get(name)
        if isinstance(value, list):  # FastAPI: where in the request, from the outside inwards
            value = ".".join(str(part) for part in value[:8] if part not in ("body", "query"))
        if found := harmless(value):
            return found
    return ""


def _pause_ms(fields: Mapping[str, object]) -> int | None:
    told = fields.get("retrydelay", fields.get("retry_delay"))
    if isinstance(told, str) and (found := _SECONDS.fullmatch(told)):
        return int(float(found[1]) * 1_000)
    if isinstance(told, Mapping) and isinstance(told.get("seconds"), int):
        return max(0, int(told["seconds"])) * 1_000
    return None


def _decoded(text: str) -> object | None:
    """Returns the JSON that a gateway has put into a text, None where it is only text."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        inner: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    return inner
