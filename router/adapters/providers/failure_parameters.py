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
_ONLY_DEFAULT = re.compile(r"only (?:the )?default[^.]*", re.IGNORECASE)
_OF_ITS_VALUE = re.compile(
    r"invalid value|out of range|between|[<>]=?|\b(?:less|greater|lower|higher|smaller|larger|more)"
    r" than|at (?:most|least)|m(?:ax|in)imum|must be|should be|\brange|above|below|exceed|too"
    r" (?:large|high|low|small)|\bboth\b|together|combin|\b(?:when|while|if|unless|because)\b"
    r"|with (?:stream|tool|function|reasoning|thinking|value)|\bvalues? [\d.]+|: ?[\d.]+ ",
    re.IGNORECASE,
)
"""Words of a limit to a value or of a condition: they say nothing of other requests."""
_DOTS = re.compile(r"[.\[\]]")
_AROUND: Final = ("", "none", "generation_config", "generationconfig")
"""Names of what lies around the fields."""
_FIELDS: Final = """
    temperature seed stop logprobs n user store detail tools thinking reasoning stream
    verbosity prediction metadata
"""
_NO_FIELDS: Final = """
    model messages message request api key url path method
"""
_WORDS, _OTHER_WORDS = frozenset(_FIELDS.split()), frozenset(_NO_FIELDS.split())


@dataclass(frozen=True, slots=True)
class RefusedParameter:
    """name: "" where only a code says that a field is not taken. instead: "" for none.

    lasting: refused whatever its value is, and beside whatever other field.
    """

    name: str
    instead: str = ""
    lasting: bool = True


def refused_parameter(told: FailureText) -> RefusedParameter | None:
    """Returns the field that the message says is not taken, None where it says nothing of it."""
    text = told.message[:_OPENING_CHARACTERS]
    instead = _INSTEAD.search(text)
    other = instead and (instead["name"] or instead["other"])
    for name in _names(told, text):
        if _is_of(told.parameter, name):
            lasting = not _OF_ITS_VALUE.search(_ONLY_DEFAULT.sub("", text))
            return RefusedParameter(name, harmless(other) if other else "", lasting)
    return None


def _is_of(field: str, name: str) -> bool:
    """True unless the provider names another field beside its message."""
    parts = {part.lower() for part in _DOTS.split(field)}
    return bool(parts & {*_DOTS.split(name.lower()), *_AROUND})


def _names(told: FailureText, text: str) -> Iterator[str]:
    if both := told.says(_BOTH, text):
        # Of temperature and top_p the first is the more telling one.
        yield both["first"] if both["first"] == "top_p" else both["name"]
    for pattern in _PATTERNS:
        if found := told.says(pattern, text):
            name = found["name"].strip(".")
            quoted = text[found.start("name") - 1 : found.start("name")] in ("'", '"', "`")
            if name.lower() not in _OTHER_WORDS and (quoted or _looks_like_a_field(name)):
                yield name


def _looks_like_a_field(name: str) -> bool:
    return "_" in name or name.lower() in _WORDS or name[1:].lower() != name[1:]
