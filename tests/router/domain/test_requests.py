from __future__ import annotations

from dataclasses import replace

import pytest

from router.domain.chat import ChatRequest, Message, Role, Sampling, TextPart, Tool
from router.domain.requests import cache_key, request_digest


def ask(text: str, system: str = "Be brief.", **more: object) -> ChatRequest:
    messages = (Message(Role.SYSTEM, (TextPart(system),)), Message(Role.USER, (TextPart(text),)))
    return ChatRequest(messages, **more)  # type: ignore[arg-type]


BASE = ask("how far is it from here to Oslo by 3 trains?")


@pytest.mark.parametrize(
    "other",
    [
        ask("how far is it from here to Oslo by 4 trains?"),
        ask("how far is it from here to Rome by 3 trains?"),
        ask("how far is it not from here to Oslo by 3 trains?"),
        ask("how far is it from here to Oslo by 3 trains?", system="Be long."),
        replace(BASE, tools=(Tool("map"),)),
        replace(BASE, sampling=Sampling(temperature=0.0)),
    ],
)
def test_cache_key_differs_in_partition_when_the_answer_may_differ(other: ChatRequest) -> None:
    assert cache_key("t", other).partition != cache_key("t", BASE).partition


def test_cache_key_keeps_the_partition_when_the_prompt_is_reworded() -> None:
    reworded = cache_key("t", ask("Please tell me how far is it from here to Oslo by 3 trains"))
    assert reworded.partition == cache_key("t", BASE).partition != ""
    assert reworded.exact != cache_key("t", BASE).exact
    assert cache_key("t", ask("a")).exact != cache_key("t", ask("b")).exact


def test_cache_key_differs_when_names_change_places() -> None:
    there, back = ask("how far is Oslo from Rome?"), ask("how far is Rome from Oslo?")
    assert cache_key("t", there).partition != cache_key("t", back).partition


def test_cache_key_has_no_partition_where_only_the_same_prompt_may_be_answered() -> None:
    assert cache_key("t", ask("what is this?\n    x = 1")).partition == ""


def test_cache_key_differs_between_tenants() -> None:
    mine, yours = cache_key("a", BASE), cache_key("b", BASE)
    assert mine.exact != yours.exact
    assert mine.partition != yours.partition


def test_cache_key_holds_no_prompt_text() -> None:
    key = cache_key("t", BASE)
    assert "Oslo" not in key.exact + key.partition


def test_request_digest_differs_between_requests() -> None:
    assert request_digest(BASE) == request_digest(replace(BASE))
    assert request_digest(BASE) != request_digest(ask("x"))
