"""Conversations of the demo, and models that keep prompts and bill them by their terms."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import chain
from typing import Any

import httpx
import pytest

from demo import caching
from demo.caching import PromptCache
from demo.simulated import PROFILES
from demo.talks import RULES, TalkWorld
from demo.world import cost_usd
from tests.demo.test_upstream import running

SEED = 4
PROFILE = replace(PROFILES["cheap"], cache_ttl_s=10)
DIGEST = """
import hashlib
from demo.talks import TalkWorld
print(hashlib.sha256(repr(TalkWorld(60, 4).talks).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def world() -> TalkWorld:
    return TalkWorld(400, SEED)


def test_another_process_holds_the_same_conversations() -> None:
    told = {
        subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-c", DIGEST],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": hash_seed},
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(told) == 1


def test_conversations_are_easy_hard_and_both_and_ask_nothing_twice(world: TalkWorld) -> None:
    asked = Counter(ask.index for talk in world.talks for ask in talk.asks)
    assert set(asked.values()) == {1}
    assert len(asked) > 300
    right = {
        task: [
            world.reply("cheap", ask.index).quality
            for talk in world.talks
            for ask in talk.asks
            if talk.task == task
        ]
        for task in RULES
    }
    easy, hard, both = (sum(found) / len(found) for found in right.values())
    assert easy - 0.2 > both > hard + 0.1
    loops = [
        world.reply("cheap", ask.index).lookups for ask in chain(*(t.asks for t in world.talks))
    ]
    assert {*loops} == {0, 1, 2, 3}
    assert any(0 < talk.pause_at < len(talk.asks) for talk in world.talks)


def test_beginnings_are_kept_in_steps_and_for_a_while() -> None:
    cache, text = PromptCache(PROFILE), bytes(range(256)) * 32  # 2,048 tokens
    assert cache.read(text[: 1_023 * 4], 1) == (0, 0)
    assert cache.read(text[: 1_200 * 4], 2) == (0, 1_152)
    assert cache.read(text, 3) == (1_152, 2_048)
    assert cache.read(text[: 1_500 * 4] + b"other" * 500, 4) == (1_408, 2_048)
    assert cache.read(b"x" + text[1:], 5) == (0, 2_048)
    # It lives anew whenever it is read.
    assert cache.read(text[: 1_200 * 4], 12) == (1_152, 1_152)
    assert cache.read(text, 21.9) == (1_152, 2_048)
    assert cache.read(text, 32) == (0, 2_048)


def test_beginnings_are_forgotten_when_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "MOST_KEPT", 20)
    cache = PromptCache(PROFILE)
    for number in range(100):
        cache.read(b"%04d" % number * 2_048, number * 5)
        assert len(cache.kept) <= 20 + 9


async def test_a_model_looks_things_up_and_its_ledger_is_what_it_reported(world: TalkWorld) -> None:
    ask = next(a for a in world.asks if world.reply("reasoning", a.index).lookups == 2)
    profile, costs = world.profiles["reasoning"], list[float]()
    body: dict[str, Any] = {
        "messages": [
            {"role": "system", "content": "Be exact. " * 600},
            {"role": "user", "content": ask.text},
        ]
    }
    options = ("--conversations", "--prompts", "400", "--seed", str(SEED), "--speed", "100")
    with running("reasoning", *options) as port:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url) as http:
            while True:
                answer = await http.post("/v1/chat/completions", json=body)
                if answer.status_code == 503:  # one in a hundred, by design
                    continue
                usage, message = answer.json()["usage"], answer.json()["choices"][0]["message"]
                details = usage["prompt_tokens_details"]
                call = replace(
                    world.reply("reasoning", ask.index),
                    input_tokens=usage["prompt_tokens"],
                    output_tokens=usage["completion_tokens"],
                    cached_tokens=details["cached_tokens"],
                    written_tokens=details["cache_write_tokens"],
                )
                costs.append(cost_usd(profile, call))
                body["messages"].append(message)
                if "tool_calls" not in message:
                    break
                call_id = message["tool_calls"][0]["id"]
                result = {"role": "tool", "tool_call_id": call_id, "content": "Seen. " * 200}
                body["messages"].append(result)
            ledger = (await http.get("/ledger")).json()
    assert message["content"] == world.reply("reasoning", ask.index).text
    assert len(costs) == 3
    assert ledger == {"calls": 3, "usd": pytest.approx(sum(costs), rel=1e-9)}
    assert costs[0] > 2 * costs[1]
    assert json.dumps(body).count("tool_call_id") == 2


def test_cached_and_written_tokens_have_their_own_rates(world: TalkWorld) -> None:
    reply = replace(world.reply("cheap", 0), input_tokens=3_000, output_tokens=0)
    warm = replace(reply, cached_tokens=2_000)
    written = replace(reply, written_tokens=2_000)
    cheap, dear = world.profiles["cheap"], world.profiles["reasoning"]
    assert cost_usd(cheap, reply) == pytest.approx(3_000 * 0.15e-6)
    assert cost_usd(cheap, warm) == pytest.approx((1_000 * 0.15 + 2_000 * 0.075) * 1e-6)
    assert cost_usd(cheap, written) == cost_usd(cheap, reply)
    assert cost_usd(dear, warm) == pytest.approx((1_000 * 2.5 + 2_000 * 0.25) * 1e-6)
    assert cost_usd(dear, written) == pytest.approx((1_000 * 2.5 + 2_000 * 3.125) * 1e-6)
