"""Signals: bounded, honest about what is not known, and each moved by what it is named for."""

from __future__ import annotations

import numpy as np
import pytest

from router.domain.chat import Answer, FinishReason, ToolCall, Usage
from router.gates.closed_answers import AnswerKind
from router.gates.signals import (
    N_SIGNALS,
    NAMES,
    PromptTraits,
    Reply,
    reply_of,
    signals_of,
    traits_of,
)

QUESTION = traits_of("Ann has 12 apples and gives 5 away. How many are left?")


def named(reply: Reply, question: PromptTraits = QUESTION) -> dict[str, float]:
    return dict(zip(NAMES, signals_of(question, reply).tolist(), strict=True))


PLAIN = named(Reply("She has 12 - 5 = 7 apples left. The answer is 7."))


@pytest.mark.parametrize(
    ("name", "more", "less"),
    [
        ("log_length", "7 " * 500, "7"),
        ("length_ratio", "7 " * 500, "7"),
        ("abrupt", "The answer is 7 and then they", "The answer is 7."),
        ("newlines", "a\nb\nc 7", "a b c 7"),
        ("fenced", "```\n7\n```", "7"),
        ("fenced", '{"answer": 7}', "7"),
        (
            "other_script",
            "\u042f \u0434\u0443\u043c\u0430\u044e " * 8,
            "I think it is so that " * 8,
        ),
        ("other_script", "Anna hatte zuerst einige und gab dann viele wieder ab", "It is 7."),
        ("hedges", "Maybe it is 7, perhaps 8.", "It is 7."),
        ("refusals", "Sorry, I cannot tell.", "It is 7."),
        ("corrections", "Wait, that was a mistake.", "It is 7."),
        ("steps", "First this. Then that. Finally: 7.", "It is 7."),
        ("not_closed", "I like apples.", "It is 7."),
        ("unmarked", "She keeps 7 apples", "The answer is 7."),
        ("repeated", "12 - 5 is 7. The answer is 7.", "The answer is 7."),
        ("echoed", "The answer is 12.", "The answer is 7."),
        ("odd_number", "The answer is 7.5.", "The answer is 7."),
        ("odd_number", "The answer is -7.", "The answer is 7."),
        ("numbers", "12, 5, 7, 8", "7"),
        ("uncovered", "12 minus something is 7", "12 minus 5 is 7"),
        ("equations", "12 - 5 = 7", "7"),
        ("wrong_sums", "12 - 5 = 8", "12 - 5 = 7"),
        ("wrong_sums", "3 * $4 = $13", "3 * $4 = $12"),
        ("wrong_sums", "10 / 4 = 3", "10 / 4 = 2.5"),
    ],
)
def test_signals_move_by_their_name(name: str, more: str, less: str) -> None:
    assert named(Reply(more))[name] > named(Reply(less))[name]


@pytest.mark.parametrize(
    "right",
    [
        "16 - 3 - 4 = 9",
        "2 + 3 * 4 = 14",
        "10 / 3 = 3.33",
        "1,200 + 300 = 1,500",
        "50 * 20 = 10 * 100",
        "7 / 0 = 0",
        "20 * 5 = 1",
        "3 - 5 = 2",
    ],
)
def test_wrong_sums_counts_plain_sums_only(right: str) -> None:
    assert named(Reply(right))["wrong_sums"] == 0.0


def test_signals_tell_what_is_known_beside_the_text() -> None:
    flags = ("logprob", "logprob_known", "verified", "verified_known")
    assert [PLAIN[name] for name in flags] == [0.0] * 4
    told = named(Reply("7", mean_logprob=-0.1, verified=1.0))
    assert [told[name] for name in flags] == pytest.approx([0.8, 1.0, 1.0, 1.0])
    worst = named(Reply("7", mean_logprob=-1e9, verified=0.0))
    assert [worst[name] for name in flags] == [-1.0, 1.0, -1.0, 1.0]


def test_reply_of_reads_an_answer() -> None:
    call = ToolCall("1", "f", "{}")
    answer = Answer("", FinishReason.LENGTH, Usage(), "m", (call,), mean_logprob=-0.5)
    reply = reply_of(answer, verified=0.25)
    assert reply == Reply("", cut_off=True, mean_logprob=-0.5, verified=0.25, tool_calls=1)
    assert named(reply)["abrupt"] == 1.0
    assert named(Reply("", tool_calls=1))["abrupt"] == 0.0


def test_traits_of_knows_the_form_asked_for() -> None:
    assert QUESTION.asked is AnswerKind.NUMBER
    assert QUESTION.numbers == {"12", "5"}
    assert traits_of("x", wants_json=True).asked is AnswerKind.JSON


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\x00\ud800",
        "[" * 1_000_000,
        "9" * 1_000_000,
        "1 + 1 = 3 " * 100_000,
        "\u0663" * 10_000,
        "\u4f60\u597d" * 100_000,
        "1e999 = 1e-999 - nan",
        "answer: " * 100_000,
        "a" * 1_000_000,
        "\u00b2 + \u00b2 = \u00b2",
        "\u0661 + \u0661 = \u0663",
    ],
)
@pytest.mark.parametrize("prompt", ["", "How many?", "\u4f60\u597d" * 10, "1 " * 100_000])
def test_signals_are_bounded_for_any_text(text: str, prompt: str) -> None:
    found = signals_of(traits_of(prompt), Reply(text))
    assert found.shape == (N_SIGNALS,)
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    assert found.min() >= -1.0
    assert found.max() <= 1.5
