"""Conditions on a prompt, in the units people think in, as bounds on the features of a context.

Counts of marks are of what `bandit.context.features` counts, in the characters it reads.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bandit.context.context_map import FEATURE_LIMIT, ContextMap
from bandit.context.features import NAMES
from bandit.errors import BadSettings
from bandit.types import Vector

MOST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Bound:
    """Holds where low <= features[index] <= high."""

    index: int
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if self.index < 0 or not self.low <= self.high:
            raise BadSettings("a bound needs an index >= 0 and low <= high")

    def holds(self, features: Vector) -> bool:
        return self.low <= float(features[self.index]) <= self.high


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps a number of things to a raw feature and back; both rise. cap: the feature's end."""

    feature: str
    raw: Callable[[float], float]
    number: Callable[[float], float]
    cap: float = 1.5


def _log1p(feature: str, divisor: float, cap: float = 1.5) -> _Scale:
    return _Scale(
        feature,
        lambda number: math.log1p(number) / divisor,
        lambda raw: math.expm1(raw * divisor),
        cap,
    )


_TURNS: Final = _Scale("turns", lambda n: math.log(max(n, 0.1)) / 2, lambda raw: math.exp(2 * raw))
_COUNTS: Final = {
    "characters": _log1p("log_length", 6, cap=math.inf),
    "newlines": _log1p("newlines", 2.5),
    "code_marks": _log1p("code", 1.5),
    "math_marks": _log1p("math_words", 2),
    "numbers": _log1p("numbers", 2.5),
    "turns": _TURNS,
    "tools": _log1p("tools", 2),
}
_FLAGS: Final = {
    "code": ("code_marks", 1),
    "math": ("math_marks", 2),
    "tools": ("tools", 1),
}
_LANGUAGES: Final = {"english": False, "other": True}
_YES_OR_NO: Final = {
    "json": "wants_json",
    "multiple_choice": "multiple_choice",
    "question": "question",
}
KEYS: Final = (
    *_FLAGS,
    *_YES_OR_NO,
    "language",
    *(f"{end}_{what}" for what in _COUNTS for end in ("min", "max")),
)


def bounds_of(when: Mapping[str, object], context_map: ContextMap) -> tuple[Bound, ...]:
    """Return one bound per condition; all of them must hold.

    Raises BadSettings for an unknown condition, or one that contexts of this map cannot tell.
    """
    found = []
    for key, value in when.items():
        try:
            found.append(bound_of(key, value, context_map))
        except BadSettings as error:
            raise BadSettings(f"{key}: {error}") from None
    return tuple(found)


def bound_of(key: str, value: object, context_map: ContextMap) -> Bound:
    """Return the bound of one condition. Raises BadSettings, its message without the key."""
    if key in _FLAGS or key in _YES_OR_NO:
        if not isinstance(value, bool):
            raise BadSettings("write true or false")
        return _flag(key, context_map, wanted=value)
    if key == "language":
        if not isinstance(value, str) or value not in _LANGUAGES:
            raise BadSettings(f"write one of {', '.join(_LANGUAGES)}")
        return _binary("other_language", context_map, wanted=_LANGUAGES[value])
    end, _, what = key.partition("_")
    if end not in {"min", "max"} or what not in _COUNTS:
        near = difflib.get_close_matches(key, KEYS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose among {', '.join(KEYS)}"
        raise BadSettings(f"no such condition: {hint}")
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
        raise BadSettings(f"write a whole number from 0 to {MOST}")
    return _count(what, value, context_map, least=end == "min")


def least_length(characters: int, context_map: ContextMap) -> float:
    """Return the length feature of prompts that have just `characters`; -inf for 0.

    Raises BadSettings.
    """
    if characters == 0:
        return -math.inf
    return bound_of("min_characters", characters, context_map).low


def _flag(key: str, context_map: ContextMap, *, wanted: bool) -> Bound:
    if key in _YES_OR_NO:
        return _binary(_YES_OR_NO[key], context_map, wanted=wanted)
    what, marks = _FLAGS[key]
    return _count(what, marks if wanted else marks - 1, context_map, least=wanted)


def _binary(feature: str, context_map: ContextMap, *, wanted: bool) -> Bound:
    index = NAMES.index(feature)
    edge = _scaled(0.5, index, context_map)
    return Bound(index, low=edge) if wanted else Bound(index, high=edge)


def _count(what: str, number: int, context_map: ContextMap, *, least: bool) -> Bound:
    """Put the edge half-way between two counts, where no prompt can be."""
    scale, half = _COUNTS[what], 0.5
    index = NAMES.index(scale.feature)
    edge = _scaled(scale.raw(number - half if least else number + half), index, context_map)
    # A prompt beyond the limit has the limit itself as its feature.
    if edge >= min(FEATURE_LIMIT, _scaled(scale.cap, index, context_map)):
        most = _largest(scale, index, context_map, half if least else -half)
        raise BadSettings(f"write at most {most}: contexts do not tell larger numbers apart")
    if -FEATURE_LIMIT >= edge > _scaled(scale.raw(0.5), index, context_map):
        fewest = math.floor(scale.number(_raw(-FEATURE_LIMIT, index, context_map))) + 1
        raise BadSettings(f"write at least {fewest}: contexts do not tell smaller numbers apart")
    return Bound(index, low=edge) if least else Bound(index, high=edge)


def _largest(scale: _Scale, index: int, context_map: ContextMap, half: float) -> int:
    limit = min(scale.cap, _raw(FEATURE_LIMIT, index, context_map))
    return math.ceil(scale.number(limit) + half) - 1


def _scaled(raw: float, index: int, context_map: ContextMap) -> float:
    mean, scale = context_map.feature_means[index], context_map.feature_scales[index]
    return float((raw - mean) / scale)


def _raw(scaled: float, index: int, context_map: ContextMap) -> float:
    mean, scale = context_map.feature_means[index], context_map.feature_scales[index]
    return float(mean + scaled * scale)
