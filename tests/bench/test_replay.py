"""The replay drives the service's own classes, and shows them the chosen arm's outcome only."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from bandit import ContextMap, Policy
from bandit.types import Outcome
from bench.experiments.routing.command import RoutingReplays, routing_figures
from bench.lab.figures import Figures, outcomes
from bench.lab.jobs import Job, Material, ReplayTerms
from bench.lab.provider import PRICE, RecordedProvider, ReplayClock, chat_of
from bench.lab.recorded import BenchError
from bench.lab.replay import Replay, ReplayData, ReplayRun
from bench.lab.setup import Variant, catalog, config_of, decider_of, typical_usd
from bench.lab.streams import Stream, draw
from router.domain.catalog import Deployment

NO_VW = Variant("adaptive, no VW", "adaptive", vw=False)


class Watched:
    """A policy that keeps what it is taught."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.decide, self.name = policy.decide, policy.name
        self.taught: list[Outcome] = []

    def learn(self, outcomes: list[Outcome]) -> None:
        self.taught += outcomes
        self._policy.learn(outcomes)


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    return tiny.stream(tiny.write(tmp_path / "a.parquet", tiny.columns()), 120)


def replayed(
    stream: Stream, terms: ReplayTerms, variant: Variant = NO_VW
) -> tuple[ReplayRun, Watched]:
    split, context_map = draw(stream, 0, terms.calibrate), ContextMap.default()
    config, usd = config_of(stream, variant, 0.1), typical_usd(stream, split)
    made = catalog(config, usd, terms.prior_factors)
    decider = decider_of(config, made, variant, context_map, seed=0)
    decider.policy = policy = Watched(decider.policy)
    replay = Replay(ReplayData(stream.data, tiny.vectors()), made, decider)
    judged = np.random.default_rng(2).random(len(split.rows)) < terms.feedback_share

    async def run() -> ReplayRun:
        await replay.calibrate(split.held_out[: terms.calibrate])
        return await replay.run(split.rows, judged, terms.delay)

    return asyncio.run(run()), policy


def scored(stream: Stream, run: ReplayRun, calibrate: int = 0) -> Figures:
    known = outcomes(stream, draw(stream, 0, calibrate).rows, 0.1)
    return routing_figures(known, run, stream.data.arms)


def test_outcomes_of_arms_that_were_not_chosen_change_nothing(stream: Stream) -> None:
    before, _ = replayed(stream, ReplayTerms())
    assert 10 < before.arm.sum() < 110
    rows, data = draw(stream, 0).rows, stream.data
    quality, cost_usd = data.quality.copy(), data.cost_usd.copy()
    quality[rows, 1 - before.arm] = 0.33
    cost_usd[rows, 1 - before.arm] *= 7
    other = replace(stream, data=replace(data, quality=quality, cost_usd=cost_usd))
    after, _ = replayed(other, ReplayTerms())
    assert np.array_equal(after.arm, before.arm)
    assert np.array_equal(after.worth, before.worth)
    quality[rows, before.arm] = 0.33
    assert not np.array_equal(replayed(other, ReplayTerms())[0].worth, before.worth)


def test_the_policy_is_taught_what_was_recorded(stream: Stream) -> None:
    ran, policy = replayed(stream, ReplayTerms())
    rows, data = draw(stream, 0).rows, stream.data
    calls, feedback = policy.taught[::2], policy.taught[1::2]
    assert [o.action.name for o in calls] == [data.arms[i] for i in ran.arm]
    assert [o.quality for o in feedback] == data.quality[rows, ran.arm].tolist()
    costs = data.cost_usd[rows, ran.arm]
    assert [o.cost_usd for o in calls] == pytest.approx(costs, rel=3e-16, abs=0)
    assert all(o.failed is False and o.quality is None for o in calls)
    assert all(0 < o.propensity < 1 for o in policy.taught)


def test_expectations_are_those_before_the_outcome(stream: Stream) -> None:
    ran, _ = replayed(stream, ReplayTerms())
    assert ran.worth[0].tolist() == [0.75, 0.75]
    assert ran.worth.shape == (120, 2)
    assert all(us > 0 for us in ran.us[:3])


def test_late_outcomes_leave_the_first_choices_uninformed(stream: Stream) -> None:
    ran, policy = replayed(stream, ReplayTerms(delay=50))
    assert np.unique(ran.worth[:51]).tolist() == [0.75]
    assert len(np.unique(ran.worth[51:])) > 10
    assert len(policy.taught) == 2 * (120 - 50)


def test_a_share_of_feedback_is_a_share(stream: Stream) -> None:
    _, policy = replayed(stream, ReplayTerms(feedback_share=0.25))
    judged = [o for o in policy.taught if o.quality is not None]
    assert len(policy.taught) - len(judged) == 120
    assert 15 <= len(judged) <= 45


def test_calibration_shows_every_arm_on_prompts_outside_the_stream(stream: Stream) -> None:
    ran, policy = replayed(stream, ReplayTerms(calibrate=30))
    aside, data = draw(stream, 0, 30).held_out[:30], stream.data
    shown = [o.quality for o in policy.taught[: 30 * 2 * 2] if o.quality is not None]
    assert shown == data.quality[aside].ravel().tolist()
    assert {o.propensity for o in policy.taught[: 30 * 2 * 2]} == {1.0}
    places = [(o.prompt, o.of) for o in policy.taught if o.quality is not None]
    assert places[: 30 * 2] == [(row + 1, 2) for row in aside.tolist() for _ in range(2)]
    assert set(places[30 * 2 :]) == {(0, 0)}
    cold, _ = replayed(stream, ReplayTerms())
    assert scored(stream, ran, 30).whole.gain > scored(stream, cold).whole.gain


def test_a_wrong_price_prior_is_wrong_by_its_factor(stream: Stream) -> None:
    split, config = draw(stream, 0), config_of(stream, NO_VW, 0.1)
    right, wrong = (
        catalog(config, typical_usd(stream, split), f).plans for f in ({}, {"large": 3.0})
    )
    usd = stream.data.cost_usd[split.priced].mean(axis=0)
    assert [p.prior_cost_usd for p in right.values()] == usd.tolist()
    assert wrong["large"].prior_cost_usd == 3 * right["large"].prior_cost_usd
    assert wrong["small"] == right["small"]


def test_a_router_that_can_tell_prompts_apart_is_above_the_hull(stream: Stream) -> None:
    """Hard prompts gain .8 from the large arm, easy ones nothing."""
    ran, _ = replayed(stream, ReplayTerms())
    found = scored(stream, ran)
    assert found.half.above_hull > 0.1
    assert found.half.gain > 0.02
    assert found.measures["apgr"] > 0.7


def test_heads_with_and_without_vw_are_two_policies(stream: Stream) -> None:
    with_vw, _ = replayed(stream, ReplayTerms(), Variant("adaptive", "adaptive", vw=True))
    without, _ = replayed(stream, ReplayTerms())
    assert not np.array_equal(with_vw.worth, without.worth)


@pytest.mark.parametrize("cost_usd", [1e-8, 2.9e-5, 1 / 3, 0.0, 17.0])
async def test_a_recorded_cost_survives_its_price(cost_usd: float) -> None:
    provider = RecordedProvider(["a"], np.array([[cost_usd]]), ReplayClock())
    deployment = Deployment("d", "openai", "", "a", PRICE)
    answer = await provider.complete(deployment, chat_of("x", 0), 1.0)
    items = [item async for item in provider.stream(deployment, chat_of("x", 0), 1.0)]
    assert items == [answer]
    assert PRICE.cost_usd(answer.usage) == pytest.approx(cost_usd, rel=3e-16, abs=1e-20)


def test_a_policy_that_is_told_is_scored_by_its_choice(stream: Stream) -> None:
    material = Material({"tiny": stream}, {"tiny": tiny.vectors()}, ReplayTerms())
    rule = {"plan": "large", "when": {"question": True}}
    told = Variant("rules", "rules", options={"rules": [rule], "default_plan": "small"})
    found = RoutingReplays(material).run(Job("tiny", 0.1, 0, told, 0))
    # Half of the prompts are hard, and they alone are questions: all is recovered at half.
    assert found.measures["apgr"] == pytest.approx(0.75, abs=0.05)
    assert found.measures["cpt80"] == pytest.approx(0.4, abs=0.1)
    assert found.half.above_hull == pytest.approx(0.2, abs=0.02)


def test_options_of_the_config_reach_the_policy(stream: Stream) -> None:
    config = config_of(stream, replace(NO_VW, options={"initial_pulls": 9}), 0.3)
    assert (config.policy.initial_pulls, config.policy.weights.cost) == (9, 0.3)
    with pytest.raises(BenchError, match=r"policy\.initial_pulls: .* greater"):
        config_of(stream, replace(NO_VW, options={"initial_pulls": -1}), 0.3)


def test_a_worker_gives_the_same_for_the_same_job(stream: Stream) -> None:
    material = Material({"tiny": stream}, {"tiny": tiny.vectors()}, ReplayTerms())
    worker = RoutingReplays(material)
    one, two = (Job("tiny", 0.1, 0, NO_VW, seed) for seed in (0, 1))
    first, other, again = (worker.run(job) for job in (one, two, one))
    assert first.whole == again.whole
    assert first.advantage.tolist() == again.advantage.tolist()
    assert first.whole != other.whole
