"""A condition in natural units holds for exactly the prompts it describes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bandit import ContextMap, PromptFacts
from bandit.context.conditions import KEYS, bound_of, bounds_of, least_length
from bandit.errors import BadSettings

MAP = ContextMap.default()


def holds(key: str, value: object, facts: PromptFacts, context_map: ContextMap = MAP) -> bool:
    return bound_of(key, value, context_map).holds(context_map.features(facts))


def most(key: str, context_map: ContextMap = MAP) -> int:
    """The largest number that can be written."""
    with pytest.raises(BadSettings, match="at most") as caught:
        bound_of(key, 1_000_000, context_map)
    return int(str(caught.value).split(":")[0].rsplit(" ", 1)[1])


MADE = {
    "characters": lambda n: PromptFacts("x" * n),
    "newlines": lambda n: PromptFacts("x\n" * n),
    "code_marks": lambda n: PromptFacts("python " * n),
    "math_marks": lambda n: PromptFacts("angle " * n),
    "numbers": lambda n: PromptFacts("7 x " * n),
    "turns": lambda n: PromptFacts("x", turns=n),
    "tools": lambda n: PromptFacts("x", tools=n),
}


@pytest.mark.parametrize("what", MADE)
def test_counts_are_told_apart_up_to_the_largest_that_can_be_written(what: str) -> None:
    largest = most(f"min_{what}")
    for number in {1, 2, 3, largest // 2, largest}:
        for there in {max(number - 1, 1 if what == "turns" else 0), number, number + 1}:
            facts = MADE[what](there)
            assert holds(f"min_{what}", number, facts) == (there >= number), (number, there)
            if number < largest:
                assert holds(f"max_{what}", number, facts) == (there <= number), (number, there)
    assert holds(f"min_{what}", largest, MADE[what](50 * largest))
    assert most(f"max_{what}") == largest - 1


@pytest.mark.parametrize("what", MADE)
def test_a_count_of_zero_is_a_bound(what: str) -> None:
    facts = MADE[what](1)
    assert holds(f"min_{what}", 0, facts)
    assert not holds(f"max_{what}", 0, facts)


@pytest.mark.parametrize(
    ("key", "facts"),
    [
        ("code", PromptFacts("Write this in python.")),
        ("math", PromptFacts("Solve for the integral.")),
        ("tools", PromptFacts("What is the weather?", tools=1)),
        ("json", PromptFacts("Say it.", wants_json=True)),
        ("question", PromptFacts("Why?")),
        ("multiple_choice", PromptFacts("Pick:\n(A) this\n(B) that\n(C) neither")),
    ],
)
def test_flags_hold_for_yes_and_for_no(key: str, facts: PromptFacts) -> None:
    other = PromptFacts("Tell me a story.")
    for wanted in (True, False):
        assert holds(key, wanted, facts) == wanted
        assert holds(key, wanted, other) != wanted


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("other", "Warum ist der Himmel blau und nicht grün?"),
        ("other", "Explique-moi pourquoi le ciel est bleu dans la journée."),
        ("other", "¿Cuál es la capital de Australia y por qué?"),
        ("other", "Perché il cielo è blu? Rispondi con una frase che sono capace di capire."),
        ("other", "Waarom is het water in de zee niet zoet?"),
        ("other", "为什么天空是蓝色的"),
        ("other", "Почему небо голубое?"),
        ("other", "لماذا السماء زرقاء؟"),
        ("english", "Why is the sky blue?"),
        ("english", "Translate 'Guten Morgen' into English, and say what it means."),
        (
            "english",
            "Let \N{GREEK SMALL LETTER ALPHA} and y be 3; is x + y = 4, y = 3 x, or x = y?",
        ),
        ("english", "def f(x): return x + 1"),
        ("english", "Who was Leonardo da Vinci, and why did he paint La Gioconda?"),
        ("english", ""),
    ],
)
def test_languages_are_told_apart(language: str, text: str) -> None:
    for named in ("english", "other"):
        assert holds("language", named, PromptFacts(text)) == (named == language)


def test_all_conditions_of_a_rule_become_bounds() -> None:
    found = bounds_of({"code": True, "min_characters": 300, "max_turns": 2}, MAP)
    assert len(found) == 3
    features = MAP.features(PromptFacts("python " * 60, turns=2))
    assert all(bound.holds(features) for bound in found)
    assert not all(bound.holds(MAP.features(PromptFacts("python"))) for bound in found)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("cod", True, "did you mean code"),
        ("zzz", 1, f"choose among {KEYS[0]}"),
        ("min_words", 1, "no such condition"),
        ("code", 1, "true or false"),
        ("json", "yes", "true or false"),
        ("language", "french", "english, other"),
        ("language", True, "english, other"),
        ("min_turns", True, "whole number"),
        ("min_turns", 1.5, "whole number"),
        ("min_turns", -1, "whole number"),
        ("max_characters", 10**9, "whole number"),
        ("min_turns", 5, "at most 4"),
    ],
)
def test_conditions_that_contexts_cannot_tell_are_refused(
    key: str, value: object, says: str
) -> None:
    with pytest.raises(BadSettings, match=says):
        bound_of(key, value, MAP)
    with pytest.raises(BadSettings, match=f"{key}: "):
        bounds_of({key: value}, MAP)


def test_a_map_of_long_prompts_cannot_tell_short_ones_apart() -> None:
    means = MAP.feature_means.copy()
    means[0] = 1.4
    long_prompts = replace(MAP, feature_means=means)
    with pytest.raises(BadSettings, match="at least") as caught:
        bound_of("min_characters", 5, long_prompts)
    least = int(str(caught.value).split(":")[0].rsplit(" ", 1)[1])
    for there in (0, 3, least - 1, least, least + 1):
        assert holds("min_characters", least, MADE["characters"](there), long_prompts) == (
            there >= least
        )
    with pytest.raises(BadSettings, match="at least"):
        bound_of("min_characters", least - 1, long_prompts)


def test_least_length_is_reached_at_the_written_characters() -> None:
    assert least_length(0, MAP) == -math.inf
    edge = least_length(500, MAP)
    lengths = [MAP.features(PromptFacts("x" * n))[0] for n in (499, 500)]
    assert lengths[0] < edge < lengths[1]
    assert np.isfinite(edge)
