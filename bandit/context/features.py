"""Cheap features of a prompt: what can be read off its text in some tens of microseconds."""

from __future__ import annotations

import math
import re
from typing import Final

import numpy as np

from bandit.types import PromptFacts, Vector

FEATURES_VERSION: Final = 3
"""Part of every context map's version: raise it when a feature below changes."""

MAX_CHARS: Final = 8_192
"""Characters that are read, half from either end; the length feature sees the whole."""

NAMES: Final = (
    *("log_length", "code", "math_words", "multiple_choice", "numbers", "question"),
    *("newlines", "digit_share", "asks_to_explain", "asks_to_choose"),
    *("turns", "tools", "wants_json", "other_language", "many_numbers"),
)

CONVERSATION_NAMES: Final = (
    *("other_tokens", "other_share", "answers", "tool_results", "tool_failed"),
    *("images", "system_prompt", "output_limit"),
)
"""Features of the whole request, all 0 for a single question without a limit. They are no part of
a context map: new ones come last."""
USUAL_OUTPUT_TOKENS: Final = 1_024

LANGUAGE_CHARS: Final = 1_000
"""Characters, from the beginning, that tell the language."""

_WORD = re.compile(r"[^\W\d_]{2,}")
_LAST_LATIN = "\u024f"
_ENGLISH_WORDS = """
the of and to is are was in that it you for with on as be this have not or what how which who when
where why do does did can could would should will if from by at we my your there than
"""
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
# Function words of German, French, Spanish, Italian, Portuguese, Dutch; none is an English word.
_OTHER_WORDS = """
der das und ist nicht ein eine mit für auf den wie ich sie wir zu von im dem warum kann
le les des est une et que qui dans pour pas sur vous nous du avec quelle comment
el los las es con por para del como qué cómo cuál una
il gli che di sono della come perché
os um uma não com você em mais
het een van niet dat zijn hoe waarom
"""
_OTHER = frozenset(_OTHER_WORDS.split())

# Words of short answers that ask for nothing new, in some languages.
_FILLER_WORDS = """
yes yeah yep yup no nope not ok okay sure please thanks thank you cool great good nice perfect
right fine well alright hi hello hey go going ahead on continue proceed keep next more again
then now so just let lets us me it its them these those this that some something thing one
another both all too also here there agree agreed exactly correct indeed understood got course
want need like tell give show make sounds looks and or but oh hmm um i he she we they mine yours
his her our very much do ja nein bitte danke weiter mach gut genau klar oui non merci si sí vale
claro gracias sigue continúa continua sì grazie certo vai avanti sim não obrigado obrigada nee
graag dank verder ga да нет пожалуйста спасибо хорошо продолжай продолжайте дальше ладно 是 是的
好 好的 可以 继续 请继续 谢谢 请 对 不 没有 行 繼續 好吧 はい いいえ お願いします 続けて
続けてください ありがとう 네 예 아니요 계속 계속해 계속해주세요 감사합니다 نعم لا شكرا استمر हाँ
जी धन्यवाद जारी रखें
"""
_EMPTY = frozenset(_FILLER_WORDS.split()) | _ENGLISH | _OTHER
_WORD_OR_NUMBER = re.compile(r"[^\W_]+")
CONTENT_CHARS: Final = 1_000
LETTERS_A_WORD: Final = 3
"""Letters of other scripts than Latin that count as a word: some write without spaces."""

_CODE = re.compile(
    r"```|\bdef |\bclass |\bimport |\breturn\b|\bSELECT\b|\bpython\b|\bjavascript\b|\bcode\b"
    r"|[{};]\s*\n|=>|==|\(\)",
    re.IGNORECASE,
)
_MATH = re.compile(
    r"\b(?:sum|product|equations?|integers?|prove|probability|derivative|integral|matrix|polynomial"
    r"|fractions?|percent|how many|how much|total|average|solve|calculate|compute|angle|triangle"
    r"|area|ratio|divided|times|each|twice|half)\b|[=+*/^√∑∫≤≥]",
    re.IGNORECASE,
)
_CHOICES = re.compile(r"(?:^|\s)\(?[A-Da-d][.)]\s")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_DIGIT = re.compile(r"\d")
_EXPLAIN = re.compile(
    r"\b(?:explain|describe|write|compose|draft|discuss|summari[sz]e|compare|essay|story|poem|email"
    r"|generate|create|plan|rewrite|translate)\b",
    re.IGNORECASE,
)
_CHOOSE = re.compile(
    r"\b(?:choose|select|which of|following|options?|pick|classify|true or false|best answer)\b",
    re.IGNORECASE,
)


def raw_features(facts: PromptFacts) -> Vector:
    """Return features before centring, (n_features,), each about in [0, 1.5]; order of `NAMES`.

    >>> dict(zip(NAMES, raw_features(PromptFacts("What is 2+2?")).round(2).tolist()))["question"]
    1.0
    """
    text = _ends(facts.text)
    size, numbers = max(len(text), 1), len(_NUMBER.findall(text))
    return np.array(
        [
            math.log1p(len(facts.text)) / 6,
            _count(_CODE, text, 1.5),
            _count(_MATH, text, 2),
            1.0 if len(_CHOICES.findall(text)) >= 3 else 0.0,  # noqa: PLR2004 - "a." alone is prose
            min(math.log1p(numbers) / 2.5, 1.5),
            1.0 if "?" in text else 0.0,
            min(math.log1p(text.count("\n")) / 2.5, 1.5),
            min(5 * len(_DIGIT.findall(text)) / size, 1.5),
            _count(_EXPLAIN, text, 1),
            _count(_CHOOSE, text, 1),
            min(math.log(max(facts.turns, 1)) / 2, 1.5),
            min(math.log1p(max(facts.tools, 0)) / 2, 1.5),
            float(facts.wants_json),
            float(_is_other_language(text[:LANGUAGE_CHARS])),
            # A logarithm alone bends one way: a sum in words has three numbers, a table thirty.
            min(numbers / 10, 1.5),
        ]
    )


def conversation_features(facts: PromptFacts) -> Vector:
    """Return features of the whole request, (CONVERSATION,), in [-1, 1.5]; `CONVERSATION_NAMES`.

    >>> conversation_features(PromptFacts("What is 2+2?", last_tokens=4)).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    other = max(facts.other_tokens, 0.0)
    limit = facts.output_limit or USUAL_OUTPUT_TOKENS
    return np.array(
        [
            min(math.log1p(other) / 8, 1.5),
            other / max(other + facts.last_tokens, 1.0),
            min(math.log1p(max(facts.answers, 0)) / 2.5, 1.5),
            min(math.log1p(max(facts.tool_results, 0)) / 2.5, 1.5),
            float(facts.tool_failed),
            min(math.log1p(max(facts.images, 0)) / 1.5, 1.5),
            float(facts.has_system),
            min(max(math.log(USUAL_OUTPUT_TOKENS / max(limit, 1)) / 4, -1.0), 1.5),
        ]
    )


def content_words(text: str, most: int) -> int:
    """Count different words of a beginning that say what it is about, `most` at most.

    >>> content_words("Yes, please go on!", 5), content_words("Translate that", 5)
    (0, 1)
    """
    seen: set[str] = set()
    count = 0
    for found in _WORD_OR_NUMBER.finditer(text[:CONTENT_CHARS].lower()):
        word = found.group()
        if word in _EMPTY or word in seen or (len(word) == 1 and word.isalpha()):
            continue
        seen.add(word)
        count += max(1, len(word) // LETTERS_A_WORD) if word[0] > _LAST_LATIN else 1
        if count >= most:
            return most
    return count


def _is_other_language(text: str) -> bool:
    """Return whether words of other languages, or other scripts, outweigh English ones.

    Every two letters of another script count as a word: some write without spaces.
    """
    words = _WORD.findall(text.lower())
    english = sum(word in _ENGLISH for word in words)
    other = sum(len(w) // 2 if w[0] > _LAST_LATIN else w in _OTHER for w in words)
    return other > max(english, 1)


def _ends(text: str) -> str:
    half = MAX_CHARS // 2
    return text if len(text) <= MAX_CHARS else f"{text[:half]} {text[-half:]}"


def _count(pattern: re.Pattern[str], text: str, divisor: float) -> float:
    return min(math.log1p(len(pattern.findall(text))) / divisor, 1.5)
