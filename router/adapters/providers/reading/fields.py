"""Read what an answer needs from JSON of any shape: what it does not need may be anything.

No reader raises over a field; a body that is no JSON at all is the one fault.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from router.adapters.providers.reading.characters import clean, unescaped
from router.adapters.providers.reading.spellings import (
    COUNTED,
    COUNTS,
    ENDS_BY_NAME,
    INTERRUPTED,
    UNTOLD_ENDS,
)
from router.domain.chat import FinishReason, Usage
from router.domain.errors import ProviderMalformed

Json: TypeAlias = dict[str, Any]
MAX_TOKENS = 100_000_000
"""Highest count of tokens that is believed: no model reads or writes so many."""
MAX_DEPTH: Final = 4
_NESTED: Final = (dict, list)
MAX_DIGITS: Final = 1_000
MAX_BODIES: Final = 200_000
"""Pieces of one body; longer answers than models write have fewer."""
_decode = msgspec.json.Decoder().decode


def decoded(data: bytes) -> Any:
    """Returns the value that JSON stands for, for what its servers take for JSON.

    That is: bytes that are no UTF-8, halves of a surrogate pair, NaN, control characters. Raises
    ProviderMalformed.
    """
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _leniently(data)
    except RecursionError:
        raise ProviderMalformed("the provider's answer is nested too deeply") from None


def _leniently(data: bytes) -> Any:
    try:
        return json.loads(unescaped(data), strict=False, parse_int=_integer)
    except (ValueError, RecursionError):
        raise ProviderMalformed("the provider's answer does not follow its protocol") from None


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


def bodies_of(data: bytes) -> list[Json]:
    """Returns the objects in a body or an event: one, those of a list, or one for each line."""
    try:
        value = decoded(data)
    except ProviderMalformed:
        lines = data.split(b"\n")
        if len(lines) == 1 or not lines[0].lstrip().startswith(b"{"):
            raise
        value = [decoded(line) for line in lines if line.strip()]
    if isinstance(value, dict):
        return [value]
    if len(items := items_of(value)) > MAX_BODIES:
        raise ProviderMalformed("the provider's answer comes in too many pieces")
    return [each for each in items if isinstance(each, dict)]


def record_of(value: Any) -> Json:
    """Returns an object; the first of a list; {} for anything else."""
    if isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, dict) else {}


def items_of(value: Any) -> list[Any]:
    """Returns a list; what is none is its only item, null and "" are no item."""
    if isinstance(value, list):
        return value
    return [] if value is None or value == "" else [value]


def string_of(value: Any) -> str:
    """Returns text, that can be encoded, and whole numbers as text; "" for anything else."""
    if isinstance(value, str):
        return value if value.isascii() else clean(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def first_of(record: Mapping[str, Any], *names: str) -> Any:
    """Returns the first field that is not null; None where there is none."""
    for name in names:
        found = record.get(name)
        if found is not None:
            return found
    return None


def number_of(value: Any) -> float | None:
    """Returns a finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number of hundreds of digits
        return None


def count_of(value: Any) -> int:
    """Returns a number of tokens, rounded up; 0 for what can't be one.

    >>> count_of("12"), count_of(1.5), count_of(-1), count_of(True), count_of(float("nan"))
    (12, 2, 0, 0, 0)
    """
    if type(value) is not int:
        if isinstance(value, str):
            value = _number(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return 0
    return math.ceil(value) if 0 < value <= MAX_TOKENS else 0


def _number(text: str) -> float:
    try:
        return float(text) if len(text) <= MAX_DIGITS else 0
    except ValueError:
        return 0


def index_of(value: Any) -> int | None:
    """Returns a position, None where none is told."""
    if value is None or type(value) is int:
        return value
    if isinstance(value, str):
        value = _number(value) if value.strip().lstrip("-").isdigit() else None
    number = number_of(value)
    return None if number is None else int(number)


_PLAIN_TYPES: Final = ("text", "text_delta")


def plain_text(content: Any) -> str | None:
    """Returns the text of the usual forms of a content; None for any other."""
    if isinstance(content, str):
        return content
    if not isinstance(content, dict) or content.get("type", "text") not in _PLAIN_TYPES:
        return None
    text = content.get("text")
    return text if isinstance(text, str) and content.get("thought") is not True else None


_STATE: Final = "base_resp"
_WORDS: Final = ("message", "msg", "detail", "error_msg", "error_message", "status_msg")
_CODES: Final = ("code", "status", "status_code", "detail", "error_code")


def error_of(body: Json) -> Any:
    """Returns what a body tells of an error, None where it tells of none.

    Fields that are there and say nothing (null, "", {}, false) are none.
    """
    if has_error(body) or body.get("type") == "error" or body.get("object") == "error":
        return body
    if body.get("choices") or body.get("type") or body.get("candidates") or body.get("content"):
        return body if has_error(record_of(body.get("x_groq"))) else None
    return body if _reads_as_error(body) or _reads_as_error(record_of(body.get(_STATE))) else None


def has_error(record: Json) -> bool:
    """True if a field for errors says something."""
    error = record.get("error") or record.get("errors")
    return bool(error) and _says(error)


def _reads_as_error(body: Json) -> bool:
    words = any(isinstance(body.get(name), str) for name in _WORDS)
    return words and any(_says(body.get(name)) for name in _CODES)


def _says(value: Any, depth: int = MAX_DEPTH) -> bool:
    if isinstance(value, dict) and depth:
        return any(_says(each, depth - 1) for each in value.values())
    if isinstance(value, list) and depth:
        return any(_says(each, depth - 1) for each in value)
    return bool(value)


@lru_cache(512)
def _plain(told: str) -> str:
    """Returns the name of an end in one spelling.

    >>> _plain("FINISH_REASON_MAX_TOKENS"), _plain("endTurn"), _plain("null")
    ('maxtokens', 'endturn', '')
    """
    name = re.sub("[^a-z0-9]", "", told.lower())
    name = name.removeprefix("finishreason").removeprefix("stopreason")
    return "" if name in UNTOLD_ENDS else name


def end_of(*told: Any) -> str:
    """Returns the first end that is told, in one spelling; "" where none is."""
    for each in told:
        word = first_of(each, "type", "reason", "name") if isinstance(each, dict) else each
        if word is not None and (name := _plain(string_of(word)[:64])):
            return name
    return ""


def known_end(end: str) -> FinishReason | None:
    """Returns the good, cut or filtered end that a spelling stands for; None for no such end."""
    return ENDS_BY_NAME.get(end)


def is_interrupted(end: str) -> bool:
    """True for an end that speaks of a fault of the provider, not of the model."""
    return INTERRUPTED.search(end) is not None


@dataclass(slots=True)
class Counts:
    """Tokens as a provider counts them, wherever it does; of each kind the most that was told.

    A later zero, and a count that only some events repeat, take nothing back.
    """

    most: Counter[str] = field(default_factory=Counter)
    _usage: Usage | None = None

    def add(self, record: Json, depth: int = MAX_DEPTH) -> None:
        """Look in the places that are known to hold counts, never in what the model wrote."""
        if COUNTED.isdisjoint(record):
            return
        for name in COUNTED.intersection(record):
            value = record[name]
            if not value:
                continue
            if isinstance(value, _NESTED):
                if depth:
                    self.add(record_of(value), depth - 1)
            elif (kind := COUNTS.get(name)) is not None:
                count = count_of(value)
                if count > self.most.get(kind, -1):
                    self.most[kind], self._usage = count, None

    @property
    def input_tokens(self) -> int:
        """Some count what was cached beside the input; where it is more than that, it must be."""
        most, cache = self.most, self.most["cache"] + self._written_beside
        prompt = most["prompt"] + most["used"]
        if cache > prompt:
            return max(prompt, most["input"]) + cache
        return max(prompt, most["input"] + cache)

    @property
    def _written_beside(self) -> int:
        parts = self.most["written_5m"] + self.most["written_1h"]
        return max(self.most["written"], parts)

    @property
    def cached_tokens(self) -> int:
        """What was written costs more than what was cached: it comes first within the input."""
        cached = max(self.most["cache"], self.most["cached"])
        return min(cached, self.input_tokens - self.written_tokens)

    @property
    def written_tokens(self) -> int:
        return min(max(self._written_beside, self.most["stored"]), self.input_tokens)

    @property
    def output_tokens(self) -> int:
        """Some servers count hidden reasoning beside the output, or in the total only."""
        most, read = self.most, self.input_tokens
        output, total = most["output"] + most["thoughts"], most["total"]
        if most["reasoning"] > output:
            output += most["reasoning"]
        return max(output, total - read if total > read > 0 else 0)

    @property
    def hidden_tokens(self) -> int:
        return max(self.most["thoughts"], self.most["reasoning"])

    @property
    def usage(self) -> Usage:
        """Asked for after every event, and another only after few of them."""
        if self._usage is None:
            output = self.output_tokens
            self._usage = Usage(
                self.input_tokens,
                output,
                cached_tokens=self.cached_tokens,
                written_tokens=self.written_tokens,
                reasoning_tokens=min(self.hidden_tokens, output),
            )
        return self._usage
