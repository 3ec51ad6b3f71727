"""Worlds are the same in every process, and hold what the demo's table claims of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from demo.baselines import Utility, always, mix
from demo.prompts import make_prompts
from demo.recorded import FILE, DataMissing, RecordedWorld, data_dir
from demo.simulated import SimulatedWorld, skill
from demo.talks import TalkWorld
from demo.world import ARMS, World, chance, cost_usd, outcomes

COUNT = 400
UTILITY = Utility(0.1, 0.004)
DIGEST = """
import hashlib, sys
from demo.simulated import SimulatedWorld
world = SimulatedWorld(50, int(sys.argv[1]))
told = [(a.text, [world.reply(arm, a.index) for arm in world.profiles]) for a in world.asks]
print(hashlib.sha256(repr(told).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def simulated() -> SimulatedWorld:
    return SimulatedWorld(COUNT, 0)


@pytest.fixture(scope="module")
def recorded() -> RecordedWorld:
    if not (data_dir() / FILE).is_file():
        pytest.skip(f"no {FILE} in {data_dir()}: set ROUTER_DATA_DIR to its directory")
    return RecordedWorld(COUNT, 0)


@pytest.fixture(scope="module")
def talks() -> TalkWorld:
    return TalkWorld(COUNT, 0)


@pytest.fixture(params=["simulated", "recorded", "talks"])
def world(request: pytest.FixtureRequest) -> World:
    return request.getfixturevalue(request.param)


def _digest(seed: int, hash_seed: str) -> str:
    argv = [sys.executable, "-c", DIGEST, str(seed)]
    env = {"PYTHONHASHSEED": hash_seed}
    run = subprocess.run(argv, check=True, capture_output=True, text=True, env=env)  # noqa: S603 - our own code
    return run.stdout


def test_another_process_sees_the_same_world() -> None:
    assert _digest(0, "1") == _digest(0, "2")
    assert _digest(0, "1") != _digest(1, "1")


def test_prompts_differ_and_cover_every_topic() -> None:
    prompts = make_prompts(COUNT, 0)
    assert len({prompt.text for prompt in prompts}) == COUNT
    topics = Counter(prompt.topic for prompt in prompts)
    assert set(topics) == {
        *("facts", "chat", "translation", "arithmetic"),
        *("extraction", "code", "logic", "planning"),
    }
    assert min(topics.values()) > COUNT / 20
    assert all(0 <= prompt.difficulty <= 1 for prompt in prompts)
    assert np.std([prompt.difficulty for prompt in prompts]) > 0.2


def test_more_prompts_begin_with_the_same_ones() -> None:
    assert make_prompts(50, 3) == make_prompts(5_000, 3)[:50]


def test_prompts_of_different_seeds_are_different() -> None:
    texts = [{p.text for p in make_prompts(COUNT, seed)} for seed in (0, 1)]
    assert len(texts[0] & texts[1]) < COUNT / 10


@pytest.mark.parametrize("arm", ARMS)
def test_skill_falls_with_difficulty(arm: str) -> None:
    prompts = [p for p in make_prompts(COUNT, 0) if p.topic == "arithmetic"]
    graded = sorted({(p.difficulty, skill(arm, p)) for p in prompts})
    skills = [level for _, level in graded]
    assert skills == sorted(skills, reverse=True)
    assert 0 < skills[-1] < skills[0] < 1


def test_the_share_of_right_answers_is_the_skill(simulated: SimulatedWorld) -> None:
    """Within four standard errors of a sum of independent draws."""
    prompts = make_prompts(COUNT, 0)
    for arm in ARMS:
        expected = np.array([skill(arm, prompt) for prompt in prompts])
        got = np.array([simulated.reply(arm, i).quality for i in range(COUNT)])
        error = np.sqrt((expected * (1 - expected)).sum())
        assert abs(got.sum() - expected.sum()) < 4 * error


def test_weak_answers_show_in_part(simulated: SimulatedWorld) -> None:
    """Empty, refused, cut off or no JSON: some of the bad answers, and none of the good ones."""
    replies = [(simulated.reply("cheap", ask.index), ask) for ask in simulated.asks]
    bad = [(reply, ask) for reply, ask in replies if not reply.quality]
    shown = [reply for reply, ask in bad if _looks_weak(reply.text, reply.finish_reason, ask)]
    assert 0.25 < len(shown) / len(bad) < 0.75
    assert {reply.finish_reason for reply in shown} == {"stop", "length"}
    good = [(reply, ask) for reply, ask in replies if reply.quality]
    assert not [r for r, ask in good if _looks_weak(r.text, r.finish_reason, ask)]


def _looks_weak(text: str, finish_reason: str, ask) -> bool:
    if not text or text.startswith("I'm sorry") or finish_reason == "length":
        return True
    if not ask.wants_json:
        return False
    try:
        json.loads(text)
    except ValueError:
        return True
    return False


def test_an_answer_is_worth_what_the_world_knows_of_it(world: World) -> None:
    for ask in world.asks:
        for arm in ARMS:
            reply = world.reply(arm, ask.index)
            assert world.grade(ask.index, reply.text) == reply.quality
        assert world.grade(ask.index, "Something else entirely.") == 0


def test_the_same_answer_every_time(world: World) -> None:
    again = type(world)(COUNT, 0)
    for ask in again.asks:
        assert all(again.reply(arm, ask.index) == world.reply(arm, ask.index) for arm in ARMS)


def test_the_table_of_all_that_was_not_called(world: World) -> None:
    found = outcomes(world)
    assert len(found) == COUNT
    reply = world.reply("reasoning", 7)
    assert found[7]["reasoning"] == (reply.quality, cost_usd(world.profiles["reasoning"], reply))
    fixed = {arm: always([*found.values()], arm, UTILITY) for arm in ARMS}
    assert fixed["cheap"].quality < fixed["fallback"].quality < fixed["reasoning"].quality
    assert fixed["reasoning"].cost_usd > 10 * fixed["cheap"].cost_usd


def test_a_mix_lies_between_its_arms(world: World) -> None:
    found = [*outcomes(world).values()]
    cheap, dear = (always(found, arm, UTILITY) for arm in ("cheap", "reasoning"))
    half = (cheap.cost_usd + dear.cost_usd) / 2
    mixed = mix(found, ("cheap", "reasoning"), half, UTILITY)
    assert mixed.quality == pytest.approx((cheap.quality + dear.quality) / 2)
    assert mixed.cost_usd == pytest.approx(half)
    assert mix(found, ("cheap", "reasoning"), 1.0, UTILITY).quality == dear.quality
    assert mix(found, ("cheap", "reasoning"), 0.0, UTILITY).quality == cheap.quality


def test_recorded_prices_are_those_of_the_record(recorded: RecordedWorld) -> None:
    """Cost per answer as computed here against the cost that the data hold."""
    for arm, model in (("cheap", "llama31_8b"), ("reasoning", "o1_mini")):
        for index, row in enumerate(recorded._rows[:50]):  # noqa: SLF001 - the record itself
            here = cost_usd(recorded.profiles[arm], recorded.reply(arm, index))
            assert here == pytest.approx(row[f"c_{model}"], rel=1e-6)


def test_missing_records_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("ROUTER_DATA_DIR", str(tmp_path_factory.mktemp("empty")))
    with pytest.raises(DataMissing, match="ROUTER_DATA_DIR"):
        RecordedWorld(10, 0)


def test_chances_are_even() -> None:
    draws = np.array([chance("even", i) for i in range(4_000)])
    assert draws.min() >= 0
    assert draws.max() < 1
    counts, _ = np.histogram(draws, bins=10, range=(0, 1))
    assert np.abs(counts - 400).max() < 4 * np.sqrt(400)
