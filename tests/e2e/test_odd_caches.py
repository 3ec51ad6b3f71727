"""Counts of cached, written and thought tokens: read in every spelling, believed within reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contract.dialects import DIALECTS
from tests.e2e.odd_answers import Asker, Odd, OddWire
from tests.e2e.test_odd_counts import anthropic, gemini, openai
from tests.e2e.wire import Json, Wire, on_uvloop, routed

SPOKEN = {spoken.name: spoken for spoken in DIALECTS}
PRICE = (
    "input_usd_per_mtok: 1.0, output_usd_per_mtok: 10.0, cached_input_usd_per_mtok: 0.1,"
    " cache_write_usd_per_mtok: 1.25, reasoning_usd_per_mtok: 12.0"
)
NAN, HUGE = float("nan"), 10**15

Tokens = tuple[int, int, int, int, int]
"""Input, cached, written, output, reasoning."""


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def told(**more: Any) -> Json:
    return {"prompt_tokens": 100, "completion_tokens": 20} | more


def details(**counts: Any) -> Json:
    return {"prompt_tokens_details": counts}


def thought(count: Any) -> Json:
    return {"completion_tokens_details": {"reasoning_tokens": count}}


OPENAI: dict[str, tuple[Odd, Tokens]] = {
    "usual": (openai(told(**details(cached_tokens=80))), (100, 80, 0, 20, 0)),
    "beside it": (openai(told(cached_tokens=80)), (100, 80, 0, 20, 0)),
    "deepseek": (
        openai(told(prompt_cache_hit_tokens=64, prompt_cache_miss_tokens=36)),
        (100, 64, 0, 20, 0),
    ),
    "openrouter": (
        openai(told(**details(cached_tokens=60, cache_write_tokens=30))),
        (100, 60, 30, 20, 0),
    ),
    "of claude": (
        openai(told(cache_read_input_tokens=60, cache_creation_input_tokens=30)),
        (100, 60, 30, 20, 0),
    ),
    "responses": (
        openai(
            {
                "input_tokens": 100,
                "output_tokens": 20,
                "input_tokens_details": {"cached_tokens": 80},
            }
        ),
        (100, 80, 0, 20, 0),
    ),
    "camel case": (openai(told(promptTokensDetails={"cachedTokens": 80})), (100, 80, 0, 20, 0)),
    "text": (openai(told(**details(cached_tokens="80"))), (100, 80, 0, 20, 0)),
    "fraction": (openai(told(**details(cached_tokens=79.5))), (100, 80, 0, 20, 0)),
    "thought": (openai(told(**thought(15))), (100, 0, 0, 20, 15)),
    "more cached than sent": (openai(told(**details(cached_tokens=500))), (100, 100, 0, 20, 0)),
    "more in both than sent": (
        openai(told(**details(cached_tokens=80, cache_write_tokens=70))),
        (100, 30, 70, 20, 0),
    ),
    "more thought than written": (openai(told(**thought(30))), (100, 0, 0, 50, 30)),
    "negative": (openai(told(**details(cached_tokens=-80), **thought(-5))), (100, 0, 0, 20, 0)),
    "nan": (openai(told(**details(cached_tokens=NAN), **thought(NAN))), (100, 0, 0, 20, 0)),
    "huge": (openai(told(**details(cached_tokens=HUGE), **thought(HUGE))), (100, 0, 0, 20, 0)),
    "words": (openai(told(**details(cached_tokens="all"), **thought("much"))), (100, 0, 0, 20, 0)),
    "true": (openai(told(**details(cached_tokens=True))), (100, 0, 0, 20, 0)),
    "no object": (openai(told(prompt_tokens_details="none")), (100, 0, 0, 20, 0)),
    "a list": (openai(told(prompt_tokens_details=[{"cached_tokens": 80}])), (100, 80, 0, 20, 0)),
}
OPENAI_LATER: dict[str, tuple[Odd, Tokens]] = {
    "later zero": (
        openai(
            told(**details(cached_tokens=80), **thought(5)),
            {"choices": [], "usage": told(**details(cached_tokens=0), **thought(0))},
        ),
        (100, 80, 0, 20, 5),
    ),
}
CLAUDE = {"input_tokens": 10, "output_tokens": 20}


def claude(**more: Any) -> Json:
    return CLAUDE | more


ANTHROPIC: dict[str, tuple[Odd, Tokens]] = {
    "usual": (
        anthropic(None, claude(cache_read_input_tokens=80, cache_creation_input_tokens=10)),
        (100, 80, 10, 20, 0),
    ),
    "parts alone": (
        anthropic(
            None,
            claude(
                cache_read_input_tokens=60,
                cache_creation={"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            ),
        ),
        (100, 60, 30, 20, 0),
    ),
    "parts and whole": (
        anthropic(
            None,
            claude(
                cache_creation_input_tokens=30,
                cache_creation={"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            ),
        ),
        (40, 0, 30, 20, 0),
    ),
    "bedrock": (
        anthropic(None, {"inputTokens": 10, "outputTokens": 20, "cacheReadInputTokens": 90}),
        (100, 90, 0, 20, 0),
    ),
    "negative": (
        anthropic(None, claude(cache_read_input_tokens=-80, cache_creation_input_tokens=-10)),
        (10, 0, 0, 20, 0),
    ),
    "nan": (anthropic(None, claude(cache_read_input_tokens=NAN)), (10, 0, 0, 20, 0)),
    "words": (anthropic(None, claude(cache_read_input_tokens="all")), (10, 0, 0, 20, 0)),
}
ANTHROPIC_LATER: dict[str, tuple[Odd, Tokens]] = {
    "at the start": (
        anthropic(claude(cache_read_input_tokens=90), {"output_tokens": 20}),
        (100, 90, 0, 20, 0),
    ),
    "later zero": (
        anthropic(
            claude(cache_read_input_tokens=90), claude(input_tokens=0, cache_read_input_tokens=0)
        ),
        (100, 90, 0, 20, 0),
    ),
}
GOOGLE = {"promptTokenCount": 100, "candidatesTokenCount": 20}
GEMINI: dict[str, tuple[Odd, Tokens]] = {
    "usual": (
        gemini(GOOGLE | {"cachedContentTokenCount": 80, "thoughtsTokenCount": 5}),
        (100, 80, 0, 25, 5),
    ),
    "other names": (
        gemini(
            {
                "prompt_token_count": 100,
                "candidates_token_count": 20,
                "cached_content_token_count": 80,
            },
            name="usage_metadata",
        ),
        (100, 80, 0, 20, 0),
    ),
    "more cached than sent": (
        gemini(GOOGLE | {"cachedContentTokenCount": 500}),
        (100, 100, 0, 20, 0),
    ),
    "negative": (gemini(GOOGLE | {"cachedContentTokenCount": -80}), (100, 0, 0, 20, 0)),
    "words": (gemini(GOOGLE | {"cachedContentTokenCount": "all"}), (100, 0, 0, 20, 0)),
}
GEMINI_LATER: dict[str, tuple[Odd, Tokens]] = {
    "later zero": (
        gemini(GOOGLE | {"cachedContentTokenCount": 80}, GOOGLE | {"cachedContentTokenCount": 0}),
        (100, 80, 0, 20, 0),
    ),
}
WHOLE = {"openai": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI}
STREAMED = {"openai": OPENAI_LATER, "anthropic": ANTHROPIC_LATER, "gemini": GEMINI_LATER}


def usd(tokens: Tokens) -> float:
    read, cached, written, output, reasoning = tokens
    plain = read - cached - written + 0.1 * cached + 1.25 * written
    return (plain + 10 * (output - reasoning) + 12 * reasoning) / 1e6


@pytest.mark.parametrize("name", WHOLE)
@on_uvloop
async def test_each_kind_is_charged_at_its_own_rate(name: str, tmp_path: Path) -> None:
    cases = WHOLE[name] | STREAMED[name]
    odd = {case: reply for case, (reply, _) in cases.items()}
    wire = Wire(OddWire(SPOKEN[name], odd), name, price=PRICE)
    async with routed(tmp_path, {"only": [wire]}) as router:
        asker = Asker(router, wire)
        for case, (_, expected) in cases.items():
            seen = [await asker.live(case)]
            if case in WHOLE[name]:
                seen.append(await asker.whole(case))
            for each in seen:
                one = each.first
                found = (
                    *(one.input_tokens, one.cached_input_tokens, one.cache_write_tokens),
                    *(one.output_tokens, one.reasoning_tokens),
                )
                assert (case, found) == (case, expected)
                assert (case, one.cost_usd) == (case, pytest.approx(usd(expected)))
                assert (case, one.usage_guessed) == (case, False)
