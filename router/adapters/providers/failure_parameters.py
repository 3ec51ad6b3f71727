"""Finds the field of a request that a provider does not take, as its refusal names it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from router.adapters.providers.failure_text import FailureText, harmless

_OPENING_CHARACTERS: Final = 600
"""Length of a message's start that is the provider's own: an echo of the request may follow."""

_NAME = r"[A-Za-z_][A-Za-z0-9_.\[\]-]{0,63}"
_MARK = r"[\"'`]"
_ANY = rf"{_MARK}?(?P<name>{_NAME}){_MARK}?"
_REFUSED = (
    r"(?:(?:is|are|was) )?(?:not (?:supported|allowed|permitted|accepted|available)|unsupported"
    r"|deprecated|unexpected|unrecognized|unknown)"
)
_BOTH = re.compile(
    rf"{_MARK}?(?P<first>{_NAME}){_MARK}? and {_MARK}?(?P<name>{_NAME}){_MARK}?"
    r" (?:can ?not|can't|must not|may not|should not)"
    r" (?:both )?be (?:both )?(?:specified|set|used|provided|given)",
    re.IGNORECASE,
)
# Where a name comes first it is quoted or looks like one of a field: most words are neither.
_REJECTS = r"(?:unsupported|unknown|unrecognized|unexpected|invalid)"
_THINGS = r"(?:parameter|argument|field|value|param|property|key|name)s?"
_HERE = r"(?: (?:on|by|for|with) this model)?"
_SPOKEN: Final = (
    rf"{_REJECTS}(?: request)? {_THINGS}(?: supplied| for)?:? {{0,2}}\[?<>",
    rf"{_THINGS} (?:is |are )?not (?:supported|allowed|permitted){_HERE}: {{0,2}}\[?<>",
    rf"does(?: not|n't) support (?:the )?{_THINGS}:? {{0,2}}\[?<>",
    r"extra (?:inputs|fields) (?:are )?not permitted: {0,2}<>",
    r"<>: extra (?:inputs|fields)(?: are)? not permitted",
    r"(?:unexpected|got an unexpected) keyword argument <>",
    r"additional properties are not allowed \(<>",
    rf"(?:parameter|argument|field|property|option) <> {_REFUSED}",
    rf"<> (?:{_REFUSED}|(?:does not|doesn't) support|(?:may|can|must) only be set)",
)
_PATTERNS: Final = [re.compile(said.replace("<>", _ANY), re.IGNORECASE) for said in _SPOKEN]
_INSTEAD = re.compile(
    rf"\buse {_ANY} instead|instead,? use {_ANY.replace('name', 'other')}", re.IGNORECASE
)
_FIELDS: Final = """
    temperature seed stop logprobs n user store detail tools thinking reasoning stream
"""
_NO_FIELDS: Final = """
    model messages message request api key url path method
"""
_WORDS, _OTHER_WORDS = frozenset(_FIELDS.split()), frozenset(_NO_FIELDS.split())


@dataclass(frozen=True, slots=True)
class RefusedParameter:
    """name: "" where only a code says that a field is not taken. instead: "" for none."""

    name: str
    instead: str = ""


def refused_parameter(told: FailureText) -> RefusedParameter | None:
    """Returns the field that the message says is not taken, None where it says nothing of it."""
    text = told.message[:_OPENING_CHARACTERS]
    instead = _INSTEAD.search(text)
    other = instead and (instead["name"] or instead["other"])
    for name in _names(text):
        return RefusedParameter(name, harmless(other) if other else "")
    return None


def _names(text: str) -> Iterator[str]:
    if both := _BOTH.search(text):
        # Of temperature and top_p the first is the more telling one.
        yield both["first"] if both["first"] == "top_p" else both["name"]
    for pattern in _PATTERNS:
        for found in pattern.finditer(text):
            name = found["name"].strip(".")
            quoted = text[found.start("name") - 1 : found.start("name")] in ("'", '"', "`")
            if name.lower() not in _OTHER_WORDS and (quoted or _looks_like_a_field(name)):
                yield name


def _looks_like_a_field(name: str) -> bool:
    return "_" in name or name.lower() in _WORDS or name[1:].lower() != name[1:]
