"""The form that two prompts share only where they ask the same in other words.

It leaves out politeness and unites a closed list of wordings; all else stands as it was written, so
case, accents, signs, numbers, names, order and white space differ where the prompts do.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

from router.domain.rewordings import (
    ABOUT_IT,
    ENGLISH,
    IN_A_LANGUAGE,
    MARKS_COUNT,
    NAMED,
    QUOTED,
    SIGNS_COUNT,
    WORDS_COMPARED,
    WORDS_COUNT,
    Rewordings,
    Rules,
)
from router.domain.rewordings_asia import ASIA
from router.domain.rewordings_europe import EUROPE

MOST_CHARS: Final = 500
_UNPLAIN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029`]|  ")
_APOSTROPHE: Final = re.compile(
    r"(?<=[a-z])\u2019(?=(?:s|t|re|ll|ve|m|d)\b)|(?<=\b[cdjlmnstCJL])\u2019(?=\w)"
    r"|(?<=\b[qQ]u)\u2019(?=\w)"
)
_CURLY: Final = re.compile(
    r'(?<=ranslate |hat does )\u201c([^"\u201c-\u201f]+)\u201d(?= (?:(?:in)?to [A-Z]|mean))'
)
_END: Final = re.compile(
    r"(?<![\s!#$%&(*+,./:;<=>?@\[\\^_{|~\u2026\uff01\uff1f\u3002\u061f\u0964-])"
    r"[ \u00a0\u202f]?([?.;\u061f\u037e\u0964\u3002\uff1f])$"
)
_ABBREVIATED: Final = re.compile(r"\w+ \w{1,4}\.")
_QUESTION: Final = "?;\u061f\u037e\u0964\uff1f"
_STOP: Final = ".\u0964\u3002"


def canonical(text: str) -> str | None:
    r"""Returns the form, None where only the same text is sure to ask the same: lines, code, prose.

    >>> canonical("Could you tell me what the capital of Chad is?")
    'what is the capital of Chad'
    >>> canonical("What's Chad's capital") == canonical("what is the capital of Chad?")
    True
    >>> canonical("Is chad safe?") == canonical("Is Chad safe?")
    False
    >>> canonical("Explain:\n  x = 1")
    """
    text = text.rstrip(" \t\r\n")
    if not text or text[0].isspace() or len(text) > MOST_CHARS or _UNPLAIN.search(text):
        return None
    if not SIGNS_COUNT.search(text):
        text = _composed(text)
        text = text if "'" in text else _APOSTROPHE.sub("'", text)
        text = text if '"' in text else _CURLY.sub(r'"\1"', text)
    forms = (reader.read(text) for reader in _READERS)
    return next((form for form in forms if form is not None), None) or _uncontracted(text)


def _composed(text: str) -> str:
    """Returns letters and accents as one sign; a sign that is another's double stays what it is."""
    if unicodedata.is_normalized("NFC", text):
        return text
    is_double = any(not unicodedata.is_normalized("NFC", sign) for sign in text)
    return text if is_double else unicodedata.normalize("NFC", text)


_NEGATED: Final = re.compile(
    r"(I|You|We|They) (?:can(?:not|'t)|(do|have|are)(?: not|"
    r"n't)) (?=[a-z][^.:?!\"]*\. (?:Explain it\.?$|"
    r"(?:What|How|Why|Where|Who|When|Should|Can) (?!.*\b(?:it|this|that)\b)[^.:!]*\?$))"
)


def _uncontracted(text: str) -> str | None:
    """Returns a negation of `I`, `you`, `we` or `they` and the question after it in full.

    None without any, and where the first may be a text that something is to be done with.

    >>> _uncontracted("I can't swim. What should I do?")
    'I cannot swim. What should I do?'
    >>> _uncontracted("I can't swim. Make it longer.")
    """
    if any(p.search(text) for p in (WORDS_COUNT, WORDS_COMPARED)) or not _NEGATED.match(text):
        return None
    return _NEGATED.sub(lambda m: f"{m[1]} {m[2]} not " if m[2] else f"{m[1]} cannot ", text)


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    instead: str

    def rewrite(self, text: str) -> str:
        found = self.pattern.match(text)
        return found.expand(self.instead) + text[found.end() :] if found else text


class _Rewriter:
    """Applies rules one after the other. Most texts meet none, which one look tells."""

    def __init__(self, rules: Rules) -> None:
        self._rules = tuple(_Rule(re.compile(pattern), instead) for pattern, instead in rules)
        self._any = re.compile("|".join(f"(?:{pattern})" for pattern, _ in rules) or "(?!)")

    def rewritten(self, text: str) -> str:
        if not self._any.match(text):
            return text
        for rule in self._rules:
            text = rule.rewrite(text)
        return text


class _Reader:
    """Finds the form of prompts of one language."""

    def __init__(self, words: Rewordings) -> None:
        polite = f"(?:(?:{words.please})[,\u060c]? )?" if words.please else ""
        first = "|".join(filter(None, (words.greetings, words.please, "(?!)")))
        greeted = f"(?P<greeted>(?:{first})[,!.\u060c\uff0c\uff01\u3001\u3002] ?)?"
        tell = f"(?P<tell>(?:{words.tell})[,:\u060c]? )?" if words.tell else "(?P<tell>(?!))?"
        self._lead = re.compile(f"{greeted}{polite}{tell}{polite}\u00bf?", re.IGNORECASE)
        self._asks, self._requests = re.compile(words.asks), re.compile(words.requests or "(?!)")
        rules = (words.shaped, words.told, words.equal)
        self._shaped, self._told, self._equal = map(_Rewriter, rules)
        self._letters, self._lowers = re.compile(words.letters), words.lowers
        thanks = words.thanks or "(?!)"
        self._thanked = re.compile(f"(?<=[.?\u061f]) (?:{thanks})[.!]?$", re.IGNORECASE)
        bare = words.bare or "(?!)"
        self._please = re.compile(
            f"[,\u060c] ?(?:{thanks})$|(?<=[\\w)]) (?:{bare})$", re.IGNORECASE
        )

    def read(self, text: str) -> str | None:
        """Returns None for a prompt that is not of this language, or of no form that it knows."""
        lead = self._lead.match(text) if self._letters.search(text) else None
        if lead is None or _counts(text, lead):
            return None
        plain = text[lead.end() :]
        plain = _lowered(plain) if self._lowers else plain
        direct, told = self._shaped.rewritten(plain), lead["tell"] is not None
        asks = told or self._asks.match(direct) is not None
        requests = self._requests.match(direct) is not None
        spoken = (lead.end() > 1 or direct != plain) and IN_A_LANGUAGE.search(text)
        if spoken or not (asks or requests):
            return None
        marks = _QUESTION * (asks or direct != plain) + _STOP * (told or requests)
        body = self._without_end(direct, marks)
        if told:
            body = self._told.rewritten(body)
            if not self._asks.match(body):
                return None
        return self._equal.rewritten(body)

    def _without_end(self, text: str, marks: str) -> str:
        """Leave out thanks and the last mark, if it is one of these."""
        if MARKS_COUNT.search(text) and not QUOTED.fullmatch(text):
            return text
        unthanked = _unless_words_count(text, self._thanked.sub("", text), text)
        end = _END.search(unthanked)
        if (end and end[1] not in marks) or _ABBREVIATED.fullmatch(unthanked):
            return unthanked
        body = unthanked[: end.start()] if end else unthanked
        return _unless_words_count(text, self._please.sub("", body), body)


def _unless_words_count(said: str, shorter: str, whole: str) -> str:
    """Returns the shorter one, unless words that it leaves out may be what `said` asks about."""
    return whole if shorter != whole and WORDS_COUNT.search(said) else shorter


def _counts(text: str, lead: re.Match[str]) -> bool:
    """Returns whether what is said before the question may be what is asked about."""
    rest = text[lead.end() :]
    if lead["greeted"] and (ABOUT_IT.search(rest) or WORDS_COUNT.search(rest)):
        return True
    return lead.end() > 1 and NAMED.search(text) is not None


def _lowered(text: str) -> str:
    """Returns the text with its first letter in lower case, but for a word of capitals."""
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] in "' " else text


_READERS: Final = tuple(map(_Reader, (ENGLISH, *EUROPE, *ASIA)))
